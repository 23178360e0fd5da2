"""The NPU that a backend runs on: the chip's, the machine's, or the variable's."""

import pytest

from jax_npu.runtime import target
from jax_npu.runtime.environment import DEVICE, MACHINE
from jax_npu.runtime.target import npu_device


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    monkeypatch.delenv(DEVICE.name, raising=False)
    monkeypatch.delenv(MACHINE.name, raising=False)
    monkeypatch.setattr(target, "chip", lambda: None)


@pytest.mark.parametrize("backend", ["npu", "sim"])
def test_an_npu_is_npu1_or_that_of_the_variable(backend, monkeypatch):
    assert npu_device(backend) == "npu1"
    monkeypatch.setenv(DEVICE.name, "npu2")
    assert npu_device(backend) == "npu2"


def test_a_virtual_npu_is_the_machines(monkeypatch):
    monkeypatch.setenv(MACHINE.name, "hx370")
    assert npu_device("sim") == "npu2"
    assert npu_device("npu") == "npu1"
    monkeypatch.setenv(DEVICE.name, "npu2")
    assert npu_device("sim") == "npu2"
    monkeypatch.setenv(DEVICE.name, "npu1")
    message = (
        f"{DEVICE.name} is npu1, and {MACHINE.name} has npu2; correct or unset one"
    )
    with pytest.raises(ValueError, match=message):
        npu_device("sim")


def test_a_chip_is_what_it_is(monkeypatch):
    monkeypatch.setattr(target, "chip", lambda: "npu2")
    monkeypatch.setenv(MACHINE.name, "7940hs")
    assert npu_device("npu") == "npu2"
    monkeypatch.setenv(DEVICE.name, "npu1")
    message = f"{DEVICE.name} is npu1, and the chip here is npu2; correct or unset it"
    with pytest.raises(ValueError, match=message):
        npu_device("npu")
