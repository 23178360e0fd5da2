"""mlir-aie and Peano on this machine, and the exact commands that build a design.

The driver of mlir-aie 1.3 is `aiecc`, a program in the wheel's own `bin`. It brings
bootgen along, but not XRT's xclbinutil, and where it finds none it leaves the xclbin
out without an error. Peano is LLVM for the cores: `aiecc` compiles what they run with
it, and we the kernels that they call.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import xdna
from xdna.gemm.array import GemmArray
from xdna.gemm.artifact import MLIR_AIE, MLIR_FILE, XCLBIN_FILE, is_supported

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
KERNELS_SOURCE = "gemm_kernels.cc"  # includes them all
KERNELS_OBJECT = "gemm_kernels.o"  # as the design names it
WORK_FOLDER = "aiecc"
AIE_API = "include/aie_api/aie.hpp"  # in mlir-aie's folder
LOWERED_FILE = f"{WORK_FOLDER}/input_with_addresses.mlir"

XRT_FOLDERS = (Path("/opt/xilinx/xrt/bin"), Path("/usr/bin"))
RELEASES = "https://github.com/Xilinx/{}/releases/expanded_assets/{}"
WHAT = {
    "aiecc": f"aiecc, of mlir-aie {MLIR_AIE}",
    "peano": f"Peano's clang++, in ${PEANO_VARIABLE}/bin or the wheel llvm-aie",
    "xclbinutil": "xclbinutil, of XRT",
}
INSTALL = {
    "aiecc": f'python -m pip install "mlir_aie=={MLIR_AIE}.4" -f '
    + RELEASES.format("mlir-aie", f"v{MLIR_AIE}.4"),
    "peano": "python -m pip install llvm-aie -f "
    + RELEASES.format("llvm-aie", "nightly"),
    "xclbinutil": "sudo apt install libxrt-utils (Debian's backports, Ubuntu), or "
    "AMD's XRT in /opt/xilinx/xrt",
}

# What mlir-aie compiles its own kernels with: programming_examples/makefile-common.
KERNEL_FLAGS = (
    "-O2",
    "-std=c++20",
    "-Wno-parentheses",
    "-Wno-attributes",
    "-Wno-macro-redefined",
    "-Wno-empty-body",
    "-Wno-missing-template-arg-list-after-template-kw",
    "-DNDEBUG",
    # The cores are linked with --gc-sections: a kernel that none calls costs nothing
    # of their 16 KB.
    "-ffunction-sections",
)


@dataclass(frozen=True)
class Compilers:
    """The paths of the tools: programs, and the folders of mlir-aie and of Peano."""

    aiecc: Path
    mlir_aie: Path  # with include/aie_api
    peano: Path  # with bin/clang++
    xclbinutil: Path
    versions: tuple[tuple[str, str], ...] = ()  # mlir-aie, peano


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
    version = _mlir_aie_version(tools.mlir_aie)
    if not is_supported(version):
        raise ValueError(
            f"mlir-aie must be {MLIR_AIE}, whose MLIR designs are written in; "
            f"{tools.aiecc} is of {version}; run: {INSTALL['aiecc']}"
        )
    if not (tools.mlir_aie / AIE_API).exists():
        raise FileNotFoundError(
            f"kernels need mlir-aie's {AIE_API}, and {tools.mlir_aie} has none; run: "
            f"{INSTALL['aiecc']}"
        )
    versions = (("mlir-aie", version), ("peano", _peano_version(tools.peano)))
    return replace(tools, versions=versions)


def locate() -> tuple[Compilers, list[str]]:
    """The tools, with placeholders for those that are missing, and their names."""
    aiecc = _aiecc()
    peano = _peano(aiecc)
    xclbinutil = _xclbinutil(aiecc)
    found = {"aiecc": aiecc, "peano": peano, "xclbinutil": xclbinutil}
    tools = Compilers(
        aiecc=aiecc or PLACEHOLDERS.aiecc,
        mlir_aie=aiecc.resolve().parents[1] if aiecc else PLACEHOLDERS.mlir_aie,
        peano=peano or PLACEHOLDERS.peano,
        xclbinutil=xclbinutil or PLACEHOLDERS.xclbinutil,
    )
    return tools, [name for name in INSTALL if found[name] is None]


def to_install(missing: list[str]) -> str:
    """What to install for the missing tools, a line each."""
    return "\n".join(
        ["install what is missing:"]
        + [f"  {WHAT[name]}: {INSTALL[name]}" for name in missing]
    )


def kernel_command(array: GemmArray, tools: Compilers) -> list[str]:
    """Compiles the kernels for one core tile, in the folder of the build."""
    macros = [f"DIM_M={array.part_m}", f"DIM_K={array.k}", f"DIM_N={array.n}"]
    if array.b_column_major:
        macros.append("B_COL_MAJ")
    if array.device.mmul_shape == (8, 8, 8):
        # AIE2P multiplies blocks of this shape only with shared exponents (bfp16);
        # aie_api has it for bfloat16 behind the second macro.
        macros += ["MMUL_8X8X8", "AIE_API_EMULATE_BFLOAT16_MMUL_WITH_BFP16"]
    return [
        str(tools.peano / "bin" / "clang++"),
        f"--target={array.device.triple}",
        *KERNEL_FLAGS,
        *(f"-D{macro}" for macro in macros),
        "-I",
        str(tools.mlir_aie / "include"),
        "-c",
        KERNELS_SOURCE,
        "-o",
        KERNELS_OBJECT,
    ]


def aiecc_command(tools: Compilers) -> list[str]:
    """Makes the xclbin of the design, in the folder of the build.

    No --aie-generate-npu-insts: that translates runtime sequences, and the design has
    none, because every stream is made when a program is lowered. Nothing else of the
    xclbin depends on one: its kernel always takes five buffers.
    """
    return [
        str(tools.aiecc),
        "--aie-generate-xclbin",
        "--no-compile-host",
        "--no-xchesscc",
        "--no-xbridge",
        # The default scheme moves buffers between banks, and with them the parameters.
        "--alloc-scheme=basic-sequential",
        f"--peano={tools.peano}",
        f"--tmpdir={WORK_FOLDER}",
        "--xclbin-kernel-name=MLIR_AIE",
        f"--xclbin-name={XCLBIN_FILE}",
        "--verbose",
        MLIR_FILE,
    ]


def environment(tools: Compilers) -> dict[str, str]:
    """The environment of `aiecc`, which looks for xclbinutil on PATH."""
    path = os.environ.get("PATH", os.defpath)
    return os.environ | {"PATH": f"{path}{os.pathsep}{tools.xclbinutil.parent}"}


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


def _mlir_aie_version(folder: Path) -> str:
    """The version of the wheel; `aiecc --version` prints only a commit."""
    path = [str(folder.parent)]
    found = list(metadata.distributions(name=folder.name, path=path))
    return found[0].version if found else "an unknown version (not from a wheel)"


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
