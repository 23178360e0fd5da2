"""mlir-aie and Peano on this machine.

The driver of mlir-aie is `aiecc`, a program in the wheel's own `bin`. It brings bootgen
along, but not XRT's xclbinutil; where 1.3 finds none it leaves the xclbin out without
an error. Peano is LLVM for the cores: `aiecc` compiles what they run with it, and we
the kernels that they call.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import xdna
from xdna.releases import RECOMMENDED, SYNTAXES, Release, release_of

PEANO_VARIABLE = "PEANO_INSTALL_DIR"  # as in mlir-aie's own scripts
KERNELS = ("convert.cc", "matmul.cc", "matmul_tiles.cc", "zero.cc")
KERNEL_NAMES = frozenset(
    {
        "convert_f32_bf16",
        "matmul_bf16_bf16",
        "matmul_bf16_f32",
        "matmul_tiles_bf16_f32",
        "zero_bf16",
        "zero_f32",
    }
)
AIE_API = "include/aie_api/aie.hpp"  # in mlir-aie's folder

# What `aiecc --version` calls itself, by the syntax that it takes.
DRIVERS = {"(C++ version)": "1.3", "(mlir-aie declarative driver)": "1.4"}
XRT_FOLDERS = (Path("/opt/xilinx/xrt/bin"), Path("/usr/bin"))
RELEASES_OF = "https://github.com/Xilinx/{}/releases/expanded_assets/{}"
WHAT = {
    "aiecc": f"aiecc, of mlir-aie {' or '.join(SYNTAXES)}",
    "peano": f"Peano's clang++, in ${PEANO_VARIABLE}/bin or the wheel llvm-aie",
    "xclbinutil": "xclbinutil, of XRT",
}


def install_aiecc(release: Release) -> str:
    pages = RELEASES_OF.format("mlir-aie", f"v{release.mlir_aie}")
    return f'python -m pip install "mlir_aie=={release.mlir_aie}" -f {pages}'


def install_peano(release: Release) -> str:
    """Its own version by name: the newest of a page of nightly builds may be bad."""
    pages = RELEASES_OF.format("llvm-aie", "nightly")
    return f'python -m pip install "llvm-aie=={release.peano}" -f {pages}'


INSTALL = {
    "aiecc": install_aiecc(RECOMMENDED),
    "peano": install_peano(RECOMMENDED),
    "xclbinutil": "sudo apt install libxrt-utils (Debian's backports, Ubuntu), or "
    "AMD's XRT in /opt/xilinx/xrt",
}


@dataclass(frozen=True)
class Compilers:
    """The paths of the tools: programs, and the folders of mlir-aie and of Peano."""

    aiecc: Path
    mlir_aie: Path  # with include/aie_api
    peano: Path  # with bin/clang++
    xclbinutil: Path
    versions: tuple[tuple[str, str], ...] = ()  # of mlir-aie, peano, llvm-aie
    release: Release = RECOMMENDED  # whose syntax and options they have

    @property
    def are_tested(self) -> bool:
        """Whether they are the pair that designs were tried with."""
        found = dict(self.versions)
        commit = self.release.peano.partition("+")[2]
        is_peano = found.get("llvm-aie") == self.release.peano or (
            "llvm-aie" not in found and commit in found.get("peano", "")
        )
        return found.get("mlir-aie") == self.release.mlir_aie and is_peano

    def __str__(self) -> str:
        found = dict(self.versions)
        peano = found.get("llvm-aie", found.get("peano", "of an unknown version"))
        return f"mlir-aie {found.get('mlir-aie')} with Peano {peano}"


# What a dry run shows for tools that are not there; also what the cache's key sees,
# because where a tool lies changes nothing of what it makes.
PLACEHOLDERS = Compilers(
    aiecc=Path("<mlir-aie>/bin/aiecc"),
    mlir_aie=Path("<mlir-aie>"),
    peano=Path("<peano>"),
    xclbinutil=Path("<xrt>/bin/xclbinutil"),
)


def find_compilers() -> Compilers:
    """The tools to build with.

    Raises:
      FileNotFoundError: with every missing one and how to install it.
      ValueError: if mlir-aie is another version than designs are written for.
      OSError: if Peano does not start.
    """
    tools, missing = locate()
    if missing:
        raise FileNotFoundError(f"to build a design, {to_install(missing)}")
    wheel, driver = _wheel_version(tools.mlir_aie, "mlir_aie"), _driver(tools.aiecc)
    version = wheel or driver
    release = None if version is None else release_of(version)
    if release and driver and release_of(driver) is not release:
        raise ValueError(
            f"{tools.aiecc} must be of a release, and is of a build between two: it is "
            f"of {version} with the command line of {driver}; run: {INSTALL['aiecc']}"
        )
    if version is None or release is None:
        raise ValueError(
            f"mlir-aie must be {' or '.join(SYNTAXES)}, whose MLIR designs are written "
            f"in; {tools.aiecc} is of {version or 'an unknown version'}; "
            f"run: {INSTALL['aiecc']}"
        )
    if not (tools.mlir_aie / AIE_API).exists():
        raise FileNotFoundError(
            f"kernels need mlir-aie's {AIE_API}, and {tools.mlir_aie} has none; run: "
            f"{INSTALL['aiecc']}"
        )
    versions = [("mlir-aie", version), ("peano", _peano_version(tools.peano))]
    if (peano := _wheel_version(tools.peano, "llvm_aie")) is not None:
        versions.append(("llvm-aie", peano))
    return replace(tools, versions=tuple(versions), release=release)


def locate() -> tuple[Compilers, list[str]]:
    """The tools, with placeholders for those that are missing, and their names."""
    aiecc = _aiecc()
    peano = _peano(aiecc)
    xclbinutil = _xclbinutil(aiecc)
    found = {"aiecc": aiecc, "peano": peano, "xclbinutil": xclbinutil}
    folder = aiecc.resolve().parents[1] if aiecc else None
    version = _wheel_version(folder, "mlir_aie") if folder else None
    tools = Compilers(
        aiecc=aiecc or PLACEHOLDERS.aiecc,
        mlir_aie=folder or PLACEHOLDERS.mlir_aie,
        peano=peano or PLACEHOLDERS.peano,
        xclbinutil=xclbinutil or PLACEHOLDERS.xclbinutil,
        release=(release_of(version) if version else None) or RECOMMENDED,
    )
    return tools, [name for name in INSTALL if found[name] is None]


def to_install(missing: list[str]) -> str:
    """What to install for the missing tools, a line each."""
    return "\n".join(
        ["install what is missing:"]
        + [f"  {WHAT[name]}: {INSTALL[name]}" for name in missing]
    )


def kernel_sources() -> dict[str, bytes]:
    """The files of `aie/kernels`: beside the design in the source tree, or installed.

    Raises:
      FileNotFoundError: if the installation lacks them.
    """
    folders = [Path(path).parent / "kernels" for path in xdna.__path__]
    folders += [Path(path) / "kernels" for path in xdna.__path__]
    for folder in folders:
        if all((folder / name).is_file() for name in KERNELS):
            return {name: (folder / name).read_bytes() for name in KERNELS}
    raise FileNotFoundError(
        f"this installation of jax-npu lacks the kernels' sources {', '.join(KERNELS)}"
        f" in {folders[-1]}; install it again with pip"
    )


def _aiecc() -> Path | None:
    """The first one, and rather in a folder of mlir-aie's than a script elsewhere."""
    found = []
    if path := shutil.which("aiecc"):
        found.append(Path(path))
        environment = Path(path).resolve().parents[1]
        found += environment.glob("lib/python*/site-packages/mlir_aie/bin/aiecc")
    if wheel := _in_wheel("mlir_aie", "mlir_aie/bin/aiecc"):
        found.append(wheel)
    found = [path for path in found if os.access(path, os.X_OK)]
    whole = (path for path in found if (path.resolve().parents[1] / AIE_API).exists())
    return next(whole, next(iter(found), None))


def _peano(aiecc: Path | None) -> Path | None:
    if chosen := os.environ.get(PEANO_VARIABLE):
        folders = [Path(chosen)]  # where the variable is wrong, nothing else is taken
    else:
        folders = list(_peano_wheels(aiecc))
    for folder in folders:
        if os.access(folder / "bin" / "clang++", os.X_OK):
            return folder
    return None


def _peano_wheels(aiecc: Path | None) -> Iterator[Path]:
    if path := _in_wheel("llvm_aie", "llvm-aie"):
        yield path
    if aiecc is not None:  # mlir-aie's wheel may be in another environment than ours
        yield aiecc.resolve().parents[2] / "llvm-aie"


def _xclbinutil(aiecc: Path | None) -> Path | None:
    if path := shutil.which("xclbinutil"):
        return Path(path)
    folders = [] if aiecc is None else [aiecc.resolve().parent]
    for folder in [*folders, *XRT_FOLDERS]:
        if os.access(folder / "xclbinutil", os.X_OK):
            return folder / "xclbinutil"
    return None


def _in_wheel(name: str, path: str) -> Path | None:
    try:
        return Path(str(metadata.distribution(name).locate_file(path)))
    except metadata.PackageNotFoundError:
        return None


def _wheel_version(folder: Path, name: str) -> str | None:
    """The version of the wheel that a folder is of; programs print only commits."""
    found = list(metadata.distributions(name=name, path=[str(folder.parent)]))
    return found[0].version if found else None


def _driver(aiecc: Path) -> str | None:
    """Syntax and commit of an `aiecc` that says which driver it is, as a version.

    It names no release: this tells of builds from source, and of wheels made between
    two releases, whose number may be that of the one before.
    """
    try:
        done = subprocess.run(
            [str(aiecc), "--version"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    for phrase, syntax in DRIVERS.items():
        if phrase in done.stdout:
            commit = re.search(r"\b[0-9a-f]{7,40}\b", done.stdout.split(phrase)[1])
            return f"{syntax}+{commit[0]}" if commit else syntax
    return None


def _peano_version(peano: Path) -> str:
    command = [str(peano / "bin" / "clang++"), "--version"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise OSError(
            f"Peano's clang++ must run, and does not: {error}; run: {INSTALL['peano']}"
        ) from None
    return done.stdout.partition("\n")[0].strip()
