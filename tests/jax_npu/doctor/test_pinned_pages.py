"""The doctor on memory that cannot be pinned, and the report on the driver's state."""

import ctypes
import errno
import struct
from pathlib import Path

import pytest

from jax_npu.doctor.facts import read_facts
from jax_npu.doctor.machine_checks import check_power
from jax_npu.doctor.power import GET_INFO, read_power
from jax_npu.report.machine_record import describe_machine

from .. import machines
from .test_doctor import assert_only, examined, found

FAILED = "kernel: amdxdna 0000:c4:00.1: [drm] *ERROR* Failed to pin pages ret -12\n"


@pytest.fixture
def root(tmp_path):
    return machines.fine(tmp_path, machines.NPU1)


def test_pages_that_were_not_pinned_are_a_warning_in_spite_of_no_limit(root):
    machines.set_memlock(root, "unlimited")
    machines.write(root, "var/log/kern.log", FAILED)
    diagnosis = examined(root)
    assert_only(diagnosis, warning={"memlock": "export JAX_NPU_IMAGE_CACHE_MB=64"})
    assert "Failed to pin pages ret -12" in found(diagnosis, "memlock")


class Driver:
    """Answers the driver's questions, each with bytes or an errno."""

    def __init__(self, answers):
        self.answers = answers

    def __call__(self, file, request, argument):
        # The number that the kernel's header gives, for a struct of 16 bytes.
        assert request == GET_INFO == 0xC0106447
        question, size, address = struct.unpack("<IIQ", argument)
        answer = self.answers[question]
        if isinstance(answer, int):
            raise OSError(answer, "Invalid argument")
        assert len(answer) == size
        ctypes.memmove(address, answer, size)


def clock(name, mhz):
    return name.ljust(16, b"\0") + struct.pack("<II", mhz, 0)


def test_the_report_has_mode_clocks_and_firmware_as_the_driver_tells_them(root):
    machines.write(root, "dev/accel/accel0", "")
    answers = {
        3: clock(b"MP-NPU Clock", 600) + clock(b"H Clock", 1024),
        8: struct.pack("<4I", 1, 5, 2, 380),
        9: bytes([4, *[0] * 7]),
    }
    assert read_power(root, Driver(answers)) == {
        "mode": "turbo",
        "clocks_mhz": {"MP-NPU Clock": 600, "H Clock": 1024},
        "firmware": "1.5.2.380",
    }
    answers |= {8: errno.EINVAL, 9: bytes([9, *[0] * 7])}
    older = read_power(root, Driver(answers))
    assert older["firmware"] == "the driver does not tell: Invalid argument"
    assert older["mode"] == "unknown, 9"


def test_the_report_says_why_it_knows_no_mode(root):
    for node in Path(root, "dev/accel").glob("accel*"):
        node.unlink()
    assert "cannot be opened: No such file" in read_power(root)["problem"]


def test_the_report_has_the_drivers_version_and_the_iommu(root):
    machines.write(root, "sys/module/amdxdna/version", "2.25.0_20260801\n")
    machines.write(root, "proc/cmdline", "root=/dev/x iommu=pt amd_iommu=on quiet\n")
    machines.write(root, "var/log/kern.log", FAILED)
    driver = describe_machine(read_facts(root), "npu", root)["driver"]
    assert driver["version"] == "2.25.0_20260801"
    assert driver["iommu"]["arguments"] == ["iommu=pt", "amd_iommu=on"]
    assert driver["log"] == (FAILED.strip(),)
    assert driver["firmware_files"]


def test_a_slow_power_mode_is_a_warning_with_its_command():
    clocks = {"MP-NPU Clock": 396, "H Clock": 792}
    (slow,) = check_power({"mode": "low", "clocks_mhz": clocks})
    assert slow.status == "warning"
    assert slow.found.startswith("low, MP-NPU Clock 396 MHz, H Clock 792 MHz; times")
    assert slow.remedy == "sudo xrt-smi configure --pmode performance"
    (fast,) = check_power({"mode": "default", "clocks_mhz": clocks})
    assert fast.status == "ok"
    assert not list(check_power({"problem": "it cannot be opened"}))
    assert not list(check_power({}))
