"""What the machine has, read from the files below a root folder.

Every fact comes from a file, so the tree of another machine, or of a test, can be
examined in place of this one. No link is followed out of the root by its absolute path.
"""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
AMD = 0x1022
# PCI device id -> our name of the array.
KINDS = {0x1502: "npu1", 0x17F0: "npu2"}
# (PCI device id, revision) -> what is sold with it: amdxdna's own table of devices.
NAMES = {
    (0x1502, 0x00): "Phoenix / Hawk Point",
    (0x17F0, 0x00): "Strix, early silicon",
    (0x17F0, 0x10): "Strix",
    (0x17F0, 0x11): "Strix Halo",
    (0x17F0, 0x20): "Krackan",
}


@dataclass(frozen=True)
class Npu:
    """An NPU on the PCI bus; what could not be read is None."""

    kind: str  # npu1 or npu2
    address: str  # 0000:c4:00.1
    device: int
    revision: int
    driver: str | None
    firmware: str | None  # running one, as the driver tells it
    node: str | None  # accel0, of /dev/accel

    @property
    def name(self) -> str:
        return NAMES.get((self.device, self.revision), "unknown revision")

    @property
    def pci_id(self) -> str:
        return f"{AMD:04x}:{self.device:04x}"


def npus(root: Path = ROOT) -> list[Npu]:
    """The NPUs that there is a design for, by PCI address."""
    folders = sorted((root / "sys/bus/pci/devices").glob("*"))
    return [npu for folder in folders if (npu := _npu(folder))]


def chip(root: Path = ROOT) -> str | None:
    """`"npu1"`, `"npu2"`, or None without one; the first on the PCI bus."""
    return next((npu.kind for npu in npus(root)), None)


def text(path: Path) -> str | None:
    """A file's text without surrounding space; None if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _npu(folder: Path) -> Npu | None:
    if _hexadecimal(folder / "vendor") != AMD:
        return None
    device = _hexadecimal(folder / "device")
    if device not in KINDS:
        return None
    driver = folder / "driver"
    nodes = sorted((folder / "accel").glob("accel[0-9]*"))
    return Npu(
        kind=KINDS[device],
        address=folder.name,
        device=device,
        revision=_hexadecimal(folder / "revision") or 0,
        driver=driver.readlink().name if driver.is_symlink() else None,
        firmware=text(folder / "fw_version") or None,
        node=nodes[0].name if nodes else None,
    )


def _hexadecimal(path: Path) -> int | None:
    try:
        return int(text(path) or "", 16)
    except ValueError:
        return None
