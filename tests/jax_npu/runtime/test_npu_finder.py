"""The driver and the design that a program's call on an NPU finds where it runs."""

from pathlib import Path

import pytest

from jax_npu.runtime import designs, npu_finder
from jax_npu.runtime.npu_finder import find_npu

COMPILED = (designs, "built_design", lambda device: Path("/designs") / device)


@pytest.fixture
def an_npu1(monkeypatch):
    monkeypatch.setattr(npu_finder, "npu_device", lambda backend: "npu1")
    monkeypatch.setattr(npu_finder, "find_library", lambda name, *_: Path("/") / name)
    monkeypatch.setattr(*COMPILED)


def test_a_device_finds_its_design_and_the_driver_of_its_backend(an_npu1):
    assert find_npu("npu", "npu1") == (
        Path("/libnpu_xrt.so"),
        Path("/designs/npu1"),
        designs.design_key("npu", "npu1"),
    )


@pytest.mark.parametrize("device", ["npu1", "npu2"])
def test_the_virtual_npu_is_any_device(device, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library, design, key = find_npu("sim", device)
    assert library.name == "libnpu_sim.so"
    assert design == tmp_path / "jax-npu" / f"{device}-{key}.cfg"


def test_a_program_for_another_chip_is_refused(an_npu1):
    with pytest.raises(ValueError, match="is for npu2, and the NPU here is npu1; make"):
        find_npu("npu", "npu2")


@pytest.mark.parametrize("device", ["npu9", "", "../npu1", "/tmp/npu1"])
def test_a_program_names_no_file(device):
    for backend in ("npu", "sim"):
        with pytest.raises(ValueError, match=r"knows npu1, npu2; make it again here"):
            find_npu(backend, device)


def test_designs_of_different_devices_have_different_keys():
    keys = {designs.design_key(b, d) for b in ("npu", "sim") for d in ("npu1", "npu2")}
    assert len(keys) == 4
