"""`jax_npu.devices()` finds the NPUs, with or without a pyxrt that works."""

import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

import jax_npu
from jax_npu.runtime import attached_npus
from jax_npu.runtime.machine import npus

from .. import machines
from ..machines import NPU1, NPU2


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with an NPU1, whose Python has no pyxrt."""
    monkeypatch.setattr(attached_npus, "npus", lambda: npus(tmp_path))
    monkeypatch.setitem(sys.modules, "pyxrt", None)
    return machines.fine(tmp_path, NPU1)


def fake_pyxrt(*found, enumerate_devices=None):
    """A module with XRT 2.25's API: devices by index, properties by enumerator."""

    class Device:
        def __init__(self, index):
            self.index = index

        def get_info(self, key):
            return found[self.index][key]

    pyxrt = ModuleType("pyxrt")
    pyxrt.xrt_info_device = SimpleNamespace(bdf=0, name=5)
    pyxrt.device = Device
    pyxrt.enumerate_devices = enumerate_devices or (lambda: len(found))
    return pyxrt


def test_without_pyxrt_they_come_from_sysfs(machine):
    (device,) = jax_npu.devices()
    assert device == jax_npu.Device(
        name="Phoenix / Hawk Point",
        kind="npu1",
        pci_address="0000:c4:00.1",
        driver="amdxdna",
        firmware="1.5.5.391",
        source="sysfs",
    )


def test_a_chip_without_a_driver_is_listed(machine):
    machines.without_driver(machine, NPU1)
    (device,) = jax_npu.devices()
    assert (device.kind, device.driver, device.firmware) == ("npu1", None, None)


def test_two_chips_are_listed_by_address(machine):
    machines.add_chip(machine, NPU2)
    assert [one.kind for one in jax_npu.devices()] == ["npu1", "npu2"]


def test_no_chip_is_no_device(machine):
    (machine / machines.pci_folder(NPU1) / "device").write_text("0x9999\n")
    assert jax_npu.devices() == ()


def test_through_pyxrt_they_have_xrts_name_and_the_kernels_facts(machine, monkeypatch):
    pyxrt = fake_pyxrt({0: "0000:c4:00.1", 5: "NPU Phoenix"})
    monkeypatch.setitem(sys.modules, "pyxrt", pyxrt)
    (device,) = jax_npu.devices()
    assert device == jax_npu.Device(
        name="NPU Phoenix",
        kind="npu1",
        pci_address="0000:c4:00.1",
        driver="amdxdna",
        firmware="1.5.5.391",
        source="pyxrt",
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("RyzenAI-npu1", "npu1"),
        ("NPU Phoenix", "npu1"),
        ("RyzenAI-npu4", "npu2"),
        ("RyzenAI-npu5", "npu2"),
        ("RyzenAI-npu6", "npu2"),
        ("NPU Strix Halo", "npu2"),
        ("NPU Krackan 1", "npu2"),
    ],
)
def test_xrts_names_give_the_kind_if_sysfs_does_not(machine, monkeypatch, name, kind):
    pyxrt = fake_pyxrt({0: "0000:99:00.1", 5: name})
    monkeypatch.setitem(sys.modules, "pyxrt", pyxrt)
    (device,) = jax_npu.devices()
    assert (device.kind, device.driver, device.source) == (kind, None, "pyxrt")


def test_an_fpga_of_xrts_is_no_npu(machine, monkeypatch):
    fpga = {0: "0000:03:00.1", 5: "xilinx_u250_gen3x16_xdma_shell_4_1"}
    npu = {0: "0000:c4:00.1", 5: "NPU Phoenix"}
    monkeypatch.setitem(sys.modules, "pyxrt", fake_pyxrt(fpga, npu))
    assert [one.kind for one in jax_npu.devices()] == ["npu1"]


def fails(error):
    def enumerate_devices():
        raise error

    return fake_pyxrt(enumerate_devices=enumerate_devices)


@pytest.mark.parametrize(
    "pyxrt",
    [
        fake_pyxrt(),  # finds nothing: no plugin for NPUs
        fails(RuntimeError("mmap(len=67108864) failed (err=-11)")),
        fails(OSError("libxrt_core.so.2")),
        ModuleType("pyxrt"),  # another project's module of that name
    ],
    ids=["nothing", "runtime", "library", "another"],
)
def test_a_pyxrt_that_fails_is_no_obstacle(machine, monkeypatch, pyxrt):
    monkeypatch.setitem(sys.modules, "pyxrt", pyxrt)
    (device,) = jax_npu.devices()
    assert device.source == "sysfs"


def test_a_pyxrt_for_another_python_is_no_obstacle(tmp_path):
    name = "pyxrt.cpython-399-x86_64-linux-gnu.so"
    machines.write(tmp_path, name, "\x7fELF of another Python")
    machines.write(tmp_path, "pyxrt.so", "\x7fELF that is none")
    program = "import jax_npu; print([d.source for d in jax_npu.devices()])"
    environment = {"PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "pyxrt" not in done.stdout
