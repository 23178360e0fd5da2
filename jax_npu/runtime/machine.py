"""What the machine has, read from the files below a root folder.

Every fact comes from a file, so the tree of another machine, or of a test, can be
examined in place of this one.
"""

import getpass
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
CPU_FILE = "proc/cpuinfo"
CONTAINER_FILES = (".dockerenv", "run/.containerenv")  # Docker's and Podman's
EFI_GLOBAL_VARIABLE = "8be4df61-93ca-11d2-aa0d-00e098032b8c"  # UEFI 2.10, 3.3
# Where a kernel has the driver, below its folder of modules.
OWN_FOLDER = "kernel/drivers/accel/amdxdna"
DKMS_FOLDERS = ("updates", "updates/dkms", "extra")
AMD = 0x1022
# PCI device id -> our name of the array.
KINDS = {0x1502: "npu1", 0x17F0: "npu2"}
# PCI device ids of newer NPUs that the same driver binds to: its table of June 2026.
NEWER = (0x17F1, 0x17F2, 0x17F3, 0x1B0A, 0x1B0B, 0x1B0C)
# (PCI device id, revision) -> what is sold with it: amdxdna's own table of devices.
NAMES = {
    (0x1502, 0x00): "Phoenix / Hawk Point",
    (0x17F0, 0x00): "Strix, early silicon",
    (0x17F0, 0x10): "Strix",
    (0x17F0, 0x11): "Strix Halo",
    (0x17F0, 0x20): "Krackan",
}


# Distributions that there are commands for, and releases that others derive from.
DISTRIBUTIONS = ("arch", "debian", "fedora", "ubuntu")
RELEASES = {
    "trixie": "13",
    "noble": "24.04",
    "plucky": "25.04",
    "questing": "25.10",
    "resolute": "26.04",
}


@dataclass(frozen=True)
class Npu:
    """An NPU on the PCI bus; what could not be read is None."""

    kind: str  # npu1 or npu2
    address: str  # 0000:c4:00.1
    device: int
    revision: int
    driver: str | None
    firmware: str | None  # the running one, as the driver reports it
    node: str | None  # accel0, of /dev/accel

    @property
    def name(self) -> str:
        return NAMES.get((self.device, self.revision), "unknown revision")

    @property
    def pci_id(self) -> str:
        return f"{AMD:04x}:{self.device:04x}"


@dataclass(frozen=True)
class Node:
    """A device file and who may open it."""

    path: str
    uid: int
    gid: int
    mode: int
    group: str  # name of gid, or its number


@dataclass(frozen=True)
class User:
    """The user whose access is examined."""

    name: str
    uid: int
    gids: frozenset[int]


@dataclass(frozen=True)
class Machine:
    """Chip, kernel and limits; what could not be read is None or empty."""

    npu: Npu | None
    newer: str  # an NPU that there is no design for, "1022:17f1 at 0000:c4:00.1"
    distribution: tuple[str, str]  # ID and VERSION_ID, of what it derives from
    kernel: str
    in_container: bool
    secure_boot: bool
    module_installed: bool
    module_by_dkms: bool  # installed beside the kernel's own modules
    module_loaded: bool
    firmware_files: tuple[str, ...]
    node: Node | None
    groups: dict[str, frozenset[str]]  # of /etc/group: name -> members
    memlock: str | None  # soft limit in bytes, or "unlimited"
    memlock_configured: bool  # unlimited by /etc/security
    cpu_vendor: str  # AuthenticAMD
    cpu_flags: frozenset[str]


def npus(root: Path = ROOT) -> list[Npu]:
    """The NPUs that there is a design for, by PCI address."""
    folders = sorted((root / "sys/bus/pci/devices").glob("*"))
    return [npu for folder in folders if (npu := _npu(folder))]


def chip(root: Path = ROOT) -> str | None:
    """`"npu1"`, `"npu2"`, or None without one; the first on the PCI bus."""
    return next((npu.kind for npu in npus(root)), None)


def examine(root: Path = ROOT) -> Machine:
    """Reads all facts; with several NPUs, those of the first."""
    npu = next(iter(npus(root)), None)
    kernel = text(root / "proc/sys/kernel/osrelease") or ""
    groups = _groups(root)
    return Machine(
        npu=npu,
        newer=_newer_npu(root),
        distribution=_distribution(root),
        kernel=kernel,
        in_container=any((root / name).exists() for name in CONTAINER_FILES),
        secure_boot=_secure_boot(root),
        module_installed=_module_in(root, kernel, (OWN_FOLDER, *DKMS_FOLDERS)),
        module_by_dkms=_module_in(root, kernel, DKMS_FOLDERS),
        module_loaded=(root / "sys/module/amdxdna").is_dir(),
        firmware_files=_firmware_files(root, npu),
        node=_node(root, npu),
        groups={name: members for name, (_, members) in groups.items()},
        memlock=_memlock(root),
        memlock_configured=_memlock_configured(root),
        cpu_vendor=field_of(root / CPU_FILE, "vendor_id") or "",
        cpu_flags=frozenset((field_of(root / CPU_FILE, "flags") or "").split()),
    )


def this_user() -> User:
    """The user of this process, with the groups of the login."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, in containers
        name = str(os.getuid())
    return User(name, os.getuid(), frozenset({os.getgid(), *os.getgroups()}))


def text(path: Path) -> str | None:
    """A file's text without surrounding space; None if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def field_of(path: Path, name: str) -> str | None:
    """The first value of a line `name : value`, as files of /proc have them."""
    found = re.search(rf"^{name}\s*:(.*)", text(path) or "", re.MULTILINE)
    return found[1].strip() if found else None


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


def _newer_npu(root: Path) -> str:
    for folder in sorted((root / "sys/bus/pci/devices").glob("*")):
        device = _hexadecimal(folder / "device")
        if _hexadecimal(folder / "vendor") == AMD and device in NEWER:
            return f"{AMD:04x}:{device:04x} at {folder.name}"
    return ""


def _hexadecimal(path: Path) -> int | None:
    try:
        return int(text(path) or "", 16)
    except ValueError:
        return None


def _distribution(root: Path) -> tuple[str, str]:
    """Name and version; those of its origin for what derives from `DISTRIBUTIONS`."""
    lines = (text(root / "etc/os-release") or "").splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    fields = {key: value.strip().strip("\"'").lower() for key, value in pairs}
    name, version = fields.get("ID", ""), fields.get("VERSION_ID", "")
    like = (one for one in fields.get("ID_LIKE", "").split() if one in DISTRIBUTIONS)
    origin = next(like, None)
    if name in DISTRIBUTIONS or origin is None:
        return name, version
    codenames = ("UBUNTU_CODENAME", "DEBIAN_CODENAME", "VERSION_CODENAME")
    codename = next((fields[key] for key in codenames if fields.get(key)), "")
    if origin in ("debian", "ubuntu"):
        version = RELEASES.get(codename, "unknown")
    return origin, version


def _secure_boot(root: Path) -> bool:
    """Whether firmware lets the kernel load signed modules alone."""
    name = f"SecureBoot-{EFI_GLOBAL_VARIABLE}"
    try:
        value = (root / "sys/firmware/efi/efivars" / name).read_bytes()
    except OSError:
        return False
    return value[4:] == b"\1"  # behind four bytes of attributes


def _module_in(root: Path, kernel: str, folders: tuple[str, ...]) -> bool:
    return bool(kernel) and any(
        any((root / base / kernel / folder).glob("amdxdna.ko*"))
        for base in ("lib/modules", "usr/lib/modules")
        for folder in folders
    )


def _firmware_files(root: Path, npu: Npu | None) -> tuple[str, ...]:
    """What the driver could load: npu.sbin, npu_7.sbin, also compressed."""
    if npu is None:
        return ()
    folders = [f"{npu.device:04x}_{npu.revision:02x}"]
    if npu.revision == 0x20:  # the kernel's driver gives Krackan that of Strix
        folders.append(f"{npu.device:04x}_10")
    return tuple(
        f"{folder}/{path.name}"
        for base in ("lib/firmware/amdnpu", "usr/lib/firmware/amdnpu")
        for folder in folders
        for path in sorted((root / base / folder).glob("npu*.sbin*"))
    )


def _node(root: Path, npu: Npu | None) -> Node | None:
    name = (npu and npu.node) or "accel0"
    try:
        status = (root / "dev/accel" / name).stat()
    except OSError:
        return None
    named = {gid: group for group, (gid, _) in _groups(root).items()}
    return Node(
        path=f"/dev/accel/{name}",
        uid=status.st_uid,
        gid=status.st_gid,
        mode=stat.S_IMODE(status.st_mode),
        group=named.get(status.st_gid, str(status.st_gid)),
    )


def _groups(root: Path) -> dict[str, tuple[int, frozenset[str]]]:
    """Name -> number and members."""
    groups = {}
    for line in (text(root / "etc/group") or "").splitlines():
        fields = line.split(":")
        if len(fields) == 4 and fields[2].isdecimal():
            members = frozenset(filter(None, fields[3].split(",")))
            groups[fields[0]] = (int(fields[2]), members)
    return groups


def _memlock(root: Path) -> str | None:
    limits = text(root / "proc/self/limits") or ""
    found = re.search(r"^Max locked memory\s+(\d+|unlimited)", limits, re.MULTILINE)
    return found[1] if found else None


def _memlock_configured(root: Path) -> bool:
    security = root / "etc/security"
    files = [security / "limits.conf", *security.glob("limits.d/*.conf")]
    line = re.compile(r"^\s*[^#\s]+\s+(-|soft)\s+memlock\s+unlimited", re.MULTILINE)
    return any(line.search(text(path) or "") for path in files)
