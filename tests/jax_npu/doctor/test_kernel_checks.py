"""The doctor on the IOMMU, on kernels and their logs, on newer chips, and in VMs."""

import pytest

from jax_npu.runtime.machine import examine

from .. import machines
from ..machines import NPU1, NPU2
from .test_doctor import assert_only, by_status, examined, found

STARTED = "Nov 27 10:00:00 host kernel: Linux version 7.1.2 (builder@x)\n"
REBOOT = " && sudo reboot"


@pytest.fixture
def root(tmp_path):
    return machines.fine(tmp_path, NPU1)


@pytest.mark.parametrize("argument", ["amd_iommu=off", "iommu=off", "iommu=soft"])
@pytest.mark.parametrize(
    ("distribution", "version", "remedy"),
    [
        ("fedora", "46", "sudo grubby --update-kernel=ALL --remove-args={}" + REBOOT),
        (
            *("ubuntu", "26.04"),
            r"sudo sed -i 's/ *\b{}\b//' /etc/default/grub && sudo update-grub"
            + REBOOT,
        ),
        (
            *("arch", ""),
            "take {} out of your boot loader's configuration, and restart",
        ),
    ],
)
def test_the_iommu_is_turned_off(tmp_path, argument, distribution, version, remedy):
    root = machines.fine(tmp_path, NPU1, distribution, version)
    machines.write(root, "proc/cmdline", f"root=/dev/x {argument} quiet\n")
    diagnosis = examined(root)
    assert by_status(diagnosis, "missing") == {"iommu": remedy.format(argument)}
    assert argument in found(diagnosis, "iommu")
    assert not diagnosis.can_run


def test_an_argument_of_another_name_turns_nothing_off(root):
    machines.write(root, "proc/cmdline", "x.amd_iommu=off amd_iommu=offset quiet\n")
    assert "iommu" in by_status(examined(root), "ok")


def test_groups_show_whether_the_iommu_is_on(root):
    groups = root / "sys/kernel/iommu_groups"
    groups.mkdir(parents=True)
    bios = "sudo systemctl reboot --firmware-setup"
    assert by_status(examined(root), "missing") == {"iommu": bios}
    (groups / "0").mkdir()
    assert found(examined(root), "iommu") == "on, 1 groups"


def test_the_drivers_log_says_that_the_iommu_fails(root):
    line = "amdxdna 0000:c4:00.1: [drm] *ERROR* amdxdna_drm_open: SVA bind device"
    failed = f"Nov 27 10:00:09 host kernel: {line} failed, ret -19\n"
    machines.write(root, "var/log/kern.log", STARTED + failed)
    assert "iommu" in by_status(examined(root), "missing")
    assert "SVA bind device failed, ret -19" in found(examined(root), "iommu")
    # A line from an earlier start says nothing.
    later = "Nov 27 11:00:09 host kernel: [drm] Initialized amdxdna_accel_driver\n"
    machines.write(root, "var/log/kern.log", STARTED + failed + STARTED + later)
    assert "iommu" in by_status(examined(root), "ok")


def test_untranslated_addresses_are_a_warning_until_they_fail(tmp_path):
    root = machines.fine(tmp_path, NPU2, "fedora", "46")
    machines.write(root, "proc/cmdline", "iommu=pt\n")
    remedy = "sudo grubby --update-kernel=ALL --remove-args=iommu=pt" + REBOOT
    assert by_status(examined(root), "warning") == {"iommu": remedy}
    machines.write(
        root, "var/log/dmesg", "[ 2.1] amdxdna: SVA bind device failed, ret -95\n"
    )
    assert by_status(examined(root), "missing") == {"iommu": remedy}


@pytest.mark.parametrize("release", ["6.17.0-23", "6.17.0-23-generic"])
def test_a_kernel_that_cannot_open_the_npu(tmp_path, release):
    root = machines.fine(tmp_path, NPU1, "ubuntu", "24.04")
    machines.set_kernel(root, release)
    remedy = "sudo apt install linux-generic-hwe-24.04 && sudo reboot"
    assert by_status(examined(root), "missing") == {"kernel": remedy}
    machines.set_kernel(root, release.replace("-23", "-230"))
    assert by_status(examined(root), "missing") == {}


def test_firmware_that_the_driver_refuses(tmp_path):
    root = machines.fine(tmp_path, NPU2, "arch", "")
    line = "amdxdna 0000:c5:00.1: aie2_check_protocol: Incompatible firmware protocol"
    machines.write(root, "var/log/dmesg", f"[ 3.1] {line} major 7 minor 3\n")
    assert "kernel" in by_status(examined(root), "ok")  # it has started since
    machines.without_driver(root, NPU2)
    machines.add_module(root, "7.3.4+deb13-amd64")
    diagnosis = examined(root)
    assert (
        by_status(diagnosis, "missing")["kernel"] == "sudo pacman -Syu && sudo reboot"
    )
    assert "7.3" in found(diagnosis, "kernel")


@pytest.mark.parametrize("device", ["17f1", "17f2", "17f3", "1b0a", "1b0b", "1b0c"])
def test_newer_chips_are_not_supported_yet(tmp_path, device):
    root = machines.fine(tmp_path, NPU1)
    machines.write(root, f"{machines.pci_folder(NPU1)}/device", f"0x{device}\n")
    diagnosis = examined(root)
    assert found(diagnosis, "chip").startswith(
        f"1022:{device} at 0000:c4:00.1 is newer"
    )
    assert "not supported yet" in diagnosis.verdict
    assert by_status(diagnosis, "missing") == {"chip": "export JAX_NPU_BACKEND=host"}


@pytest.mark.parametrize(
    ("release", "flags", "expected"),
    [
        ("6.6.87.2-microsoft-standard-WSL2", "avx2 hypervisor", "WSL shows no NPU"),
        ("7.1.0", "avx2 fma hypervisor", "of this virtual machine"),
        ("7.1.0", "avx2 fma", "the BIOS can hide it"),
    ],
)
def test_why_there_is_no_npu(tmp_path, release, flags, expected):
    root = machines.fine(tmp_path, NPU1)
    machines.write(root, f"{machines.pci_folder(NPU1)}/device", "0x14e8\n")
    machines.set_kernel(root, release)
    machines.write(
        root, "proc/cpuinfo", f"vendor_id\t: AuthenticAMD\nflags\t\t: {flags}\n"
    )
    assert expected in found(examined(root), "chip")


@pytest.mark.parametrize(
    ("release", "origin"),
    [
        (
            "ID=linuxmint\nID_LIKE='ubuntu debian'\nUBUNTU_CODENAME=noble",
            "ubuntu 24.04",
        ),
        ("ID=cachyos\nID_LIKE=arch", "arch "),
        ("ID=nobara\nID_LIKE=fedora\nVERSION_ID=46", "fedora 46"),
        ('ID=mx\nID_LIKE="debian"\nVERSION_CODENAME=trixie', "debian 13"),
        ("ID=pop\nID_LIKE=ubuntu\nVERSION_CODENAME=other", "ubuntu unknown"),
        ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=26.04", "ubuntu 26.04"),
        ("ID=gentoo\nVERSION_ID=2.17", "gentoo 2.17"),
    ],
)
def test_commands_are_those_of_what_a_distribution_derives_from(root, release, origin):
    machines.write(root, "etc/os-release", f"{release}\n")
    assert " ".join(examine(root).distribution) == origin


def test_a_machine_that_has_everything_lacks_nothing_of_these(root):
    (root / "sys/kernel/iommu_groups/7").mkdir(parents=True)
    machines.write(root, "proc/cmdline", "root=/dev/x quiet amd_iommu=on\n")
    assert_only(examined(root))


@pytest.mark.parametrize("file", [".dockerenv", "run/.containerenv"])
def test_a_container_is_given_the_device_and_its_memory_by_its_host(root, file):
    machines.write(root, file)
    machines.set_memlock(root, "8388608")
    (root / "dev/accel/accel0").unlink()
    command = "docker run --device /dev/accel/accel0 --ulimit memlock=-1 ..."
    assert_only(examined(root), missing={"device file": command, "memlock": command})


@pytest.mark.parametrize("is_on", [False, True])
def test_a_module_of_dkms_needs_an_enrolled_key_under_secure_boot(root, is_on):
    machines.without_driver(root, machines.NPU1)
    machines.set_kernel(root, "7.3.4")
    machines.write(root, "lib/modules/7.3.4/updates/dkms/amdxdna.ko.zst")
    name = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    content = f"\6\0\0\0{chr(is_on)}"
    machines.write(root, f"sys/firmware/efi/efivars/{name}", content)
    load = "sudo modprobe amdxdna"
    enrol = "sudo mokutil --import /var/lib/dkms/mok.pub && sudo reboot"
    missing = {"driver": f"{load} || ({enrol})" if is_on else load}
    assert_only(examined(root), missing=missing, skipped=["device file"])
