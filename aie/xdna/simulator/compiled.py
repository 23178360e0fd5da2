"""Kernels in C++ for the virtual cores: compiled for the host and called in the loop.

The source is compiled by g++ against `aie/kernels/host/aie_api`, a header with
aie_api's names and the array's arithmetic, which documents what it has.
"""

import ctypes
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import xdna
from xdna.simulator.kernel import AS_BUILT_IN, Kernel

SUFFIXES = (".cc", ".cpp", ".cxx")
# -ffp-contract: the header rounds where the cores do.
COMMAND = ("g++", "-std=c++20", "-O2", "-shared", "-fPIC", "-w", "-ffp-contract=off")
NOT_ALL_OF_AIE_API = (
    "the header for the host has aie_api's loads, stores, filters, transposes and mmul "
    "alone; write the rest as a loop, or the kernel in Python"
)
# What accauto and accfloat multiply with: tags of the header, by arithmetic.
TAGS = {
    "npu1": {"exact": "accauto", "fast": "host::fast"},
    "npu2": {
        "exact": "host::aie2p",
        "bfp16": "host::bfp16",
        "bfp16_floor": "host::bfp16_floor",
        "fast": "host::fast",
    },
}
BUILT_IN = frozenset(
    (
        "zero_f32",
        "zero_bf16",
        "matmul_bf16_f32",
        "matmul_bf16_bf16",
        "matmul_tiles_bf16_f32",
        "convert_f32_bf16",
    )
)
ELEMENT_BYTES = {"bf16": 2, "f16": 2, "f32": 4, "f64": 8, "index": 8}
# A core's ports: two loads and one store of 256 bits a cycle.
LOAD_BYTES, STORE_BYTES = 64, 32


@dataclass(frozen=True)
class Given:
    """What the user says about a kernel: a call's cycles and maybe its accesses."""

    cycles: int
    accesses: str = ""


@dataclass(frozen=True)
class CompiledKernels:
    """The kernels of one source that a design calls.

    `assumed` names those whose times are only what their loads and stores take.
    """

    kernels: tuple[Kernel, ...]
    assumed: tuple[str, ...]


def compiled_kernels(
    source: Path,
    configuration: str,
    arithmetic: str = "exact",
    flags: Sequence[str] = (),
    given: Mapping[str, Given] | None = None,
) -> CompiledKernels:
    """Compiles a source and makes a kernel of each function in it that a design calls.

    A built-in kernel's name keeps its times. Of others, a pointer to const is read and
    another pointer is written; in memory that nothing has written before, all bits are
    set, which is NaN to a kernel that reads it all the same.

    Args:
      configuration: of the design.
      arithmetic: of the macs, as for `VirtualNpu`.
      flags: for the compiler, such as `-DDIM_M=64`.
      given: by kernel, what the source does not tell.

    Raises:
      ValueError: in one line, if it does not compile, has none of the kernels, or does
        not tell how one accesses its arguments.
      OSError: if there is no such file, or no g++.
    """
    source.open().close()  # g++'s message would have several lines
    declared, given = _declared(configuration), given or {}
    library = _library(source, _device(configuration), arithmetic, flags)
    if unknown := [name for name in given if name not in declared]:
        raise ValueError(
            f"the design calls {', '.join(declared) or 'no kernels'}, not {unknown[0]}"
        )
    text = _without_comments(source.read_text(encoding="utf-8"))
    kernels, assumed = [], []
    for name, sizes in declared.items():
        try:
            function = library[name]
        except AttributeError:
            continue
        function.restype = None
        accesses = given[name].accesses if name in given else ""
        cycles = given[name].cycles if name in given else AS_BUILT_IN
        if name not in BUILT_IN or accesses:
            accesses = accesses or _accesses(source, text, name, sizes)
        if cycles == AS_BUILT_IN and name not in BUILT_IN:
            cycles = _port_cycles(accesses, sizes)
            assumed.append(name)
        accesses = accesses or "".join("-" if size is None else "b" for size in sizes)
        dtypes = [None if size is None else np.uint8 for size in sizes]
        kernels.append(Kernel(name, _caller(function), accesses, dtypes, cycles))
    if not kernels:
        raise ValueError(
            f'{source} has none of the kernels that the design calls, as extern "C": '
            f"{', '.join(declared) or 'it calls none'}"
        )
    return CompiledKernels(tuple(kernels), tuple(assumed))


def _device(configuration: str) -> str:
    found = re.search(r"^device (npu\d)", configuration, re.MULTILINE)
    return found[1] if found else "npu1"


def _declared(configuration: str) -> dict[str, list[int | None]]:
    """The bytes of each argument of the kernels that are called, None for scalars."""
    lines = [line.split() for line in configuration.splitlines()]
    types = [_type_bytes(line[1], line[3:]) for line in lines if line[0] == "type"]
    return {
        line[1]: [None if int(i) < 0 else types[int(i)] for i in line[3:]]
        for line in lines
        if line[0] == "kernel"
    }


def _type_bytes(element: str, shape: Sequence[str]) -> int:
    size = ELEMENT_BYTES.get(element) or -(-int(re.sub(r"\D", "", element)) // 8)
    return size * int(np.prod([int(one) for one in shape], dtype=np.int64))


def _library(
    source: Path, device: str, arithmetic: str, flags: Sequence[str]
) -> ctypes.CDLL:
    tags = TAGS[device]
    if arithmetic not in tags:
        raise ValueError(
            f"kernels in C++ compute {', '.join(tags)} on {device}, not {arithmetic}"
        )
    include = ["-I", str(_header_folder()), f"-DAIE_HOST_AUTO={tags[arithmetic]}"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kernels.so"
        command = [*COMMAND, *include, *flags, "-o", str(out), str(source)]
        try:
            result = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            raise OSError(
                "kernels in C++ need g++ with C++20; install it, or give kernels in "
                "Python"
            ) from None
        if result.returncode != 0:
            lines = result.stderr.splitlines()
            errors = [line for line in lines if "error" in line or "undefined" in line]
            first = (errors or lines or ["g++ failed"])[0]
            missing = re.search(r"is not a member of .aie\b", first)
            raise ValueError(
                f"{source} does not compile for the host: {first}"
                + (f"; {NOT_ALL_OF_AIE_API}" if missing else "")
            )
        return ctypes.CDLL(str(out))  # stays loaded without its file


def _header_folder() -> Path:
    """The folder of `aie_api/aie.hpp`: in the source tree, or installed."""
    folders = [Path(path).parent / "kernels" / "host" for path in xdna.__path__]
    folders += [Path(path) / "kernels" / "host" for path in xdna.__path__]
    for folder in folders:
        if (folder / "aie_api" / "aie.hpp").exists():
            return folder
    raise OSError("this installation lacks aie_api's header for the host; install anew")


def _without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)


def _accesses(source: Path, text: str, name: str, sizes: Sequence[int | None]) -> str:
    """A letter for each argument, from the parameters of the function's definition."""
    for found in re.finditer(rf"\b{re.escape(name)}\s*\(([^()]*)\)\s*\{{", text):
        parameters = [one for one in found[1].split(",") if one.strip()]
        pointers = ["*" in one or "[" in one for one in parameters]
        if pointers == [size is not None for size in sizes]:
            return "".join(
                "-" if not is_pointer else "r" if re.search(r"\bconst\b", one) else "w"
                for one, is_pointer in zip(parameters, pointers)
            )
    raise ValueError(
        f"{source} has no definition of {name} with {len(sizes)} parameters as the "
        f"design calls it; say how it accesses them: --kernel {name}=CYCLES:ACCESSES"
    )


def _port_cycles(accesses: str, sizes: Sequence[int | None]) -> int:
    """The least cycles of a call: those of its loads and stores."""

    def moved(letters: str) -> int:
        return sum(s or 0 for letter, s in zip(accesses, sizes) if letter in letters)

    return max(-(-moved("rb") // LOAD_BYTES), -(-moved("wb") // STORE_BYTES), 1)


def _caller(function: Callable[..., None]) -> Callable[..., None]:
    def call(*arguments: np.ndarray | int) -> None:
        function(
            *(
                ctypes.c_int64(one)
                if isinstance(one, int)
                else ctypes.c_void_p(one.ctypes.data)
                for one in arguments
            )
        )

    return call
