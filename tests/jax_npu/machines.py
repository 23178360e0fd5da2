"""File trees of machines, with the files that the doctor reads, as on real ones."""

import os
from pathlib import Path

from jax_npu.doctor.installation import Installation, Part
from jax_npu.doctor.software import Interpreter
from jax_npu.runtime.machine import User

from .energy import trees as energy_trees

# The user who is examined is not the one who owns the files, whoever runs the tests.
ADA = User("ada", os.getuid() + 1, frozenset({os.getgid() + 1}))
RENDER = os.getgid()  # group of the device file, in every tree
ADA_IN_RENDER = User("ada", ADA.uid, ADA.gids | {RENDER})

SITE_PACKAGES = "/home/ada/venv/lib/python3.13/site-packages"
DIST_PACKAGES = "/usr/lib/python3/dist-packages"
PYTHON = Interpreter("3.13", SITE_PACKAGES, (SITE_PACKAGES, DIST_PACKAGES))
LIBRARIES = "usr/lib/x86_64-linux-gnu"
NPU1 = {"address": "0000:c4:00.1", "device": "0x1502", "revision": "0x00"}
NPU2 = {"address": "0000:c5:00.1", "device": "0x17f0", "revision": "0x10"}
FIRMWARE = {"0x1502": "1502_00", "0x17f0": "17f0_10"}
FLAGS = "fpu sse2 avx2 fma avx512f avx512bw avx512vl avx512_bf16"

COMPLETE = Installation(
    npu_library=Part("libnpu_xrt.so"),
    design=Part("npu1-0123456789abcdef"),
    ffi=Part("jaxlib 0.10.2, FFI 0.3, a product ran"),
    host_isa=Part("avx512bf16"),
    forced_isa="",
    chosen_design="",
)


def write(root: Path, path: str, content: str = "") -> Path:
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content)
    return target


def fine(root: Path, chip: dict[str, str], distribution="debian", version="13") -> Path:
    """Writes a machine that has everything; its user ada is in group render."""
    write(
        root, "etc/os-release", f'NAME="X"\nID={distribution}\nVERSION_ID="{version}"'
    )
    set_kernel(root, "7.3.4+deb13-amd64")
    write(root, "proc/cpuinfo", f"vendor_id\t: AuthenticAMD\nflags\t\t: {FLAGS}\n")
    set_memlock(root, "unlimited")
    write(root, "etc/group", f"root:x:0:\nrender:x:{RENDER}:bob,ada\nvideo:x:44:ada\n")
    add_bridge(root)
    add_chip(root, chip)
    add_driver(root, chip)
    add_firmware(root, FIRMWARE[chip["device"]])
    add_xrt(root)
    energy_trees.add_zone(root, "intel-rapl:0", "package-0")
    add_pyxrt(root, "313")
    add_package(root, "mlir_aie-1.3.4")
    add_package(root, "llvm_aie-21.0.0.2026062301+cb664e8c")
    return root


def set_kernel(root: Path, release: str) -> None:
    write(root, "proc/sys/kernel/osrelease", f"{release}\n")


def set_memlock(root: Path, limit: str) -> None:
    unit = " " * 21 + "bytes"
    write(
        root,
        "proc/self/limits",
        f"Limit                     Soft Limit           Hard Limit           Units\n"
        f"Max stack size            8388608              unlimited       {unit}\n"
        f"Max locked memory         {limit:21}{limit}{unit}\n",
    )


def add_bridge(root: Path) -> None:
    """Adds a device that is no NPU, from the same maker."""
    folder = "sys/bus/pci/devices/0000:00:00.0"
    write(root, f"{folder}/vendor", "0x1022\n")
    write(root, f"{folder}/device", "0x14e8\n")


def add_chip(root: Path, chip: dict[str, str]) -> None:
    folder = pci_folder(chip)
    write(root, f"{folder}/vendor", "0x1022\n")
    for name in ("device", "revision"):
        write(root, f"{folder}/{name}", f"{chip[name]}\n")


def pci_folder(chip: dict[str, str]) -> str:
    return f"sys/bus/pci/devices/{chip['address']}"


def add_driver(root: Path, chip: dict[str, str], firmware: str = "1.5.5.391") -> None:
    """Adds the driver, bound to the chip, with a device file open to group render."""
    folder = root / pci_folder(chip)
    bind(root, chip, "amdxdna")
    (root / "sys/module/amdxdna").mkdir(parents=True)
    write(folder, "fw_version", f"{firmware}\n")
    (folder / "accel/accel0").mkdir(parents=True)
    write(root, "dev/accel/accel0").chmod(0o660)


def bind(root: Path, chip: dict[str, str], driver: str) -> None:
    target = f"../../../../bus/pci/drivers/{driver}"
    (root / pci_folder(chip) / "driver").symlink_to(target)


def without_driver(root: Path, chip: dict[str, str]) -> None:
    folder = root / pci_folder(chip)
    (folder / "driver").unlink()
    (folder / "fw_version").unlink()
    (folder / "accel/accel0").rmdir()
    (root / "sys/module/amdxdna").rmdir()
    (root / "dev/accel/accel0").unlink()


def add_module(root: Path, release: str) -> None:
    folder = f"lib/modules/{release}/kernel/drivers/accel/amdxdna"
    write(root, f"{folder}/amdxdna.ko.xz")


def add_firmware(root: Path, folder: str) -> None:
    write(root, f"lib/firmware/amdnpu/{folder}/npu.sbin")
    write(root, f"lib/firmware/amdnpu/{folder}/npu_7.sbin")


def without_firmware(root: Path) -> None:
    for path in (root / "lib/firmware").rglob("*.sbin"):
        path.unlink()


def add_xrt(root: Path, version: str = "2.25.00", folder: str = LIBRARIES) -> None:
    for name in ("libxrt_coreutil.so.2", "libxrt_driver_xdna.so.2"):
        write(root, f"{folder}/{name}.{version.partition('.')[2]}")
        (root / folder / name).symlink_to(f"{name}.{version.partition('.')[2]}")
    write(root, "usr/bin/xclbinutil")


def without_xrt(root: Path) -> None:
    for path in [*(root / LIBRARIES).glob("libxrt*"), *(root / "usr/bin").glob("x*")]:
        path.unlink()
    without_pyxrt(root)


def add_pyxrt(root: Path, tag: str, folder: str = DIST_PACKAGES) -> None:
    write(root, f"{folder}/pyxrt.cpython-{tag}-x86_64-linux-gnu.so")


def without_pyxrt(root: Path) -> None:
    for path in (root / DIST_PACKAGES.lstrip("/")).glob("pyxrt*"):
        path.unlink()


def add_package(root: Path, name: str) -> None:
    write(root, f"{SITE_PACKAGES}/{name}.dist-info/METADATA")


def without_package(root: Path, name: str) -> None:
    for path in (root / SITE_PACKAGES.lstrip("/")).glob(f"{name}-*/METADATA"):
        path.unlink()
        path.parent.rmdir()
