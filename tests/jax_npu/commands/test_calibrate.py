"""`jax-npu calibrate`: simulated times stay close to measured ones."""

import json
from pathlib import Path

import pytest

from jax_npu.commands.calibrate import (
    Measurement,
    compare,
    mean_absolute_error,
    measurements,
)
from jax_npu.commands.command_line import main
from xdna import timing

README = Path(__file__).parents[3] / "aie/sim/README.md"

# Errors that the model promises; it has two fitted numbers for the five rows.
LARGEST_ERROR = 0.10
MEAN_ERROR = 0.05


@pytest.fixture(scope="module")
def comparisons():
    return [compare(one) for one in measurements()]


def test_every_expressible_row_is_close(comparisons):
    errors = [one.error for one in comparisons if one.error is not None]
    assert len(errors) == 5
    assert max(map(abs, errors)) <= LARGEST_ERROR
    assert mean_absolute_error(comparisons) <= MEAN_ERROR


def test_the_readme_has_what_the_command_prints(comparisons):
    text = README.read_text()
    for one in comparisons:
        if one.error is not None:
            row = f"{one.measurement.microseconds:,.0f} | {one.microseconds:,.0f} | "
            assert f"{row}{one.error:+.1%} |" in text
    assert f"mean absolute error is {mean_absolute_error(comparisons):.1%}" in text


def test_what_the_generator_cannot_express_has_a_reason(comparisons):
    packed, resident = (one for one in comparisons if one.microseconds is None)
    assert "whole_array" in packed.reason
    assert "do not fit" in resident.reason


def test_time_does_not_depend_on_arithmetic():
    row = next(measurements())
    assert compare(row, "exact") == compare(row, "fast")


def test_the_kernel_that_was_fitted_is_near_the_published_one():
    assert pytest.approx(0.377, rel=0.1) == timing.KERNEL_EFFICIENCY


def test_kernels_that_take_no_time_leave_the_dma():
    sizes = ("npu1", 256, 256, 256, (32, 32, 32), "float32", 1.0)
    device, m, k, n, tile, out, measured = sizes
    whole, no_compute = (
        compare(Measurement(device, name, m, k, n, tile, out, measured))
        for name in ("whole_array", "whole_array compute removed")
    )
    assert no_compute.microseconds < whole.microseconds


def test_the_command_prints_a_table_and_json(tmp_path, capsys):
    path = tmp_path / "own.csv"
    path.write_text(
        "# measured at home\n"
        "device,design,M,K,N,tile_m,tile_k,tile_n,out,microseconds\n"
        "npu1,whole_array,64,64,64,64,64,64,f32,150\n"
        "npu9,whole_array,64,64,64,64,64,64,f32,150\n"
    )
    assert main(["calibrate", "--csv", str(path)]) == 0
    out = capsys.readouterr().out
    assert "not expressible, device must be one of" in out
    assert "mean absolute error" in out
    assert main(["calibrate", "--csv", str(path), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    own, other = record["rows"]
    assert own["error"] == pytest.approx(own["simulated_microseconds"] / 150 - 1)
    assert record["mean_absolute_error"] == pytest.approx(abs(own["error"]))
    assert other["simulated_microseconds"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no measurements"),
        ("device,design\nnpu1,whole_array\n", "line 2: expected the columns"),
        (
            "#\ndevice,design,M,K,N,tile_m,tile_k,tile_n,out,microseconds\n"
            "npu1,whole_array,many,1,1,1,1,1,f32,1\n",
            "line 3: expected the columns",
        ),
    ],
)
def test_a_bad_table_is_an_error_with_its_line(text, message, tmp_path, capsys):
    path = tmp_path / "own.csv"
    path.write_text(text)
    assert main(["calibrate", "--csv", str(path)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
