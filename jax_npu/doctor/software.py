"""XRT and the NPU's compilers, looked for in the files below a root folder."""

import json
import re
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from jax_npu.runtime.machine import ROOT, text

LIBRARY_FOLDERS = (
    "usr/lib/x86_64-linux-gnu",  # Debian, Ubuntu
    "usr/lib64",  # Fedora
    "usr/lib",  # Arch
    "usr/local/lib",
    "opt/xilinx/xrt/lib",  # XRT's own packages
    "opt/xilinx/xrt/lib64",
)
PROGRAM_FOLDERS = ("usr/bin", "usr/local/bin", "opt/xilinx/xrt/bin")
# Folders where this or another Python looks for `pyxrt`.
PYTHON_FOLDERS = (
    "usr/lib/python3*/dist-packages",
    "usr/lib/python3*/site-packages",
    "usr/lib64/python3*/site-packages",
    "usr/local/lib/python3*/dist-packages",
    "opt/xilinx/xrt/python",
)


@dataclass(frozen=True)
class Interpreter:
    """A Python and the folders from which it imports."""

    version: str  # 3.13
    site_packages: str
    path: tuple[str, ...]  # sys.path


@dataclass(frozen=True)
class Library:
    """A shared library of major version 2."""

    folder: str
    version: str  # 2.25.0, or 2 where no file names more


@dataclass(frozen=True)
class Binding:
    """A `pyxrt` module; `python` is the version it is built for, None for any."""

    path: str
    python: str | None


@dataclass(frozen=True)
class Software:
    """The software for the NPU; what is not installed is None or empty."""

    xrt: Library | None
    plugin: Library | None  # for these NPUs
    xclbinutil: str | None  # path
    pyxrt: tuple[Binding, ...]
    mlir_aie: str | None  # version
    peano: str | None  # version, or the folder of $PEANO_INSTALL_DIR


def this_interpreter() -> Interpreter:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Interpreter(version, sysconfig.get_path("platlib"), tuple(sys.path))


def find_software(
    interpreter: Interpreter, root: Path = ROOT, peano_folder: str = ""
) -> Software:
    """Looks for everything; `peano_folder` is the value of $PEANO_INSTALL_DIR."""
    packages = _below(root, interpreter.site_packages)
    return Software(
        xrt=_library(root, "libxrt_coreutil.so.2"),
        plugin=_library(root, "libxrt_driver_xdna.so.2"),
        xclbinutil=_program(root, "xclbinutil"),
        pyxrt=_bindings(root, interpreter.site_packages),
        mlir_aie=_package_version(packages, "mlir_aie"),
        peano=_peano(root, packages, peano_folder),
    )


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _library(root: Path, name: str) -> Library | None:
    for folder in LIBRARY_FOLDERS:
        if (root / folder / name).exists():
            return Library(f"/{folder}", _library_version(root / folder, name))
    return None


def _library_version(folder: Path, name: str) -> str:
    """Version from the file's own name, as in `name.25.00`, or from version.json."""
    for path in sorted(folder.glob(f"{name}.*")):
        numbers = path.name.partition(".so.")[2].split(".")
        if all(number.isdecimal() for number in numbers):
            return ".".join(str(int(number)) for number in numbers)
    try:
        record = json.loads(text(folder.parent / "version.json") or "{}")
    except ValueError:
        record = {}
    return str(record.get("BUILD_VERSION", "2"))


def _program(root: Path, name: str) -> str | None:
    paths = (f"{folder}/{name}" for folder in PROGRAM_FOLDERS)
    return next((f"/{path}" for path in paths if (root / path).exists()), None)


def _bindings(root: Path, site_packages: str) -> tuple[Binding, ...]:
    """All `pyxrt` modules, those in the interpreter's own folder first."""
    folders = [_below(root, site_packages)]
    folders += [path for one in PYTHON_FOLDERS for path in sorted(root.glob(one))]
    found = {}
    for folder in folders:
        for path in sorted(folder.glob("pyxrt*.so")):
            tag = re.match(r"pyxrt\.cpython-(\d)(\d+)-", path.name)
            name = f"/{path.relative_to(root)}"
            found[name] = Binding(name, f"{tag[1]}.{tag[2]}" if tag else None)
    return tuple(found.values())


def _package_version(packages: Path, name: str) -> str | None:
    found = sorted(packages.glob(f"{name}-*.dist-info"))
    return found[-1].name.removesuffix(".dist-info").split("-")[1] if found else None


def _peano(root: Path, packages: Path, folder: str) -> str | None:
    if folder:  # a wrong variable is reported, and no other Peano used instead
        return folder if (_below(root, folder) / "bin/clang++").exists() else None
    return _package_version(packages, "llvm_aie")
