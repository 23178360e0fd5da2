"""The table of arithmetics."""

import pytest

from xdna.arithmetics import ARITHMETICS, arithmetics_of


@pytest.mark.parametrize(
    ("device", "names"),
    [
        ("npu1", ("exact", "fast")),
        ("npu1_2col", ("exact", "fast")),
        ("npu2", ("exact", "bfp16", "bfp16_floor", "fast")),
        ("npu2_4col", ("exact", "bfp16", "bfp16_floor", "fast")),
    ],
)
def test_a_device_has_its_arithmetics_in_order_of_preference(device, names):
    assert arithmetics_of(device) == names


def test_an_unknown_device_has_no_arithmetics():
    with pytest.raises(ValueError, match="npu9"):
        arithmetics_of("npu9")


def test_only_bfp16_arithmetics_are_checked_with_rounded_operands():
    rounded = {name for name, one in ARITHMETICS.items() if one.operands == "bfp16"}
    assert rounded == {"bfp16", "bfp16_floor"}
