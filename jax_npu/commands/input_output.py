"""What the commands read and write: designs and arrays.

bfloat16 in a .npy file has the dtype "V2", two bytes of no type: it is what
`numpy.save` makes of an array of `ml_dtypes.bfloat16`.
"""

import io
import math
import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import ModuleOp

from jax_npu.files import write_file
from xdna.dialect.text import parse_module
from xdna.load.design_text import read_design as load_design
from xdna.load.design_text import refuse_other_stages
from xdna.stream.decoding import from_bytes

HEX_WORDS = re.compile(rb"\s*[0-9a-fA-F]{8}(\s+[0-9a-fA-F]{8})*\s*")
BF16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)


def read_whole_design(path: Path) -> ModuleOp:
    """A design with its runtime sequences."""
    text = _text_of(path)
    refuse_other_stages(text, str(path))
    return parse_module(text, str(path))


def read_design(path: Path, design: str | None) -> ModuleOp:
    """What the array needs of one of the designs in a file."""
    return load_design(_text_of(path), str(path), design)


def read_words(path: Path) -> np.ndarray:
    """The words of a file: binary, or as older releases of mlir-aie wrote them, text
    of 8 hexadecimal digits a word."""
    data = path.read_bytes()
    if HEX_WORDS.fullmatch(data):
        return np.array([int(word, 16) for word in data.split()], np.uint32)
    try:
        return from_bytes(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_array(spec: str) -> np.ndarray:
    """The array of FILE or FILE:DTYPE, rounded to DTYPE where it has another."""
    name, _, suffix = spec.rpartition(":")
    dtype = _dtype(suffix) if name else None
    path = Path(name or spec)
    with path.open("rb") as file:
        try:
            array = np.lib.format.read_array(file, allow_pickle=False)
        except ValueError as error:
            raise ValueError(
                f"{path} is not an array as numpy.save writes it: {error}"
            ) from None
    if array.dtype.kind == "V" and array.dtype.itemsize == BF16.itemsize:
        array = array.view(BF16)
    if array.dtype.kind not in "iufbV":
        raise ValueError(f"{path} holds {array.dtype}, which no buffer of a run does")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if dtype is not None and array.dtype != dtype:
        if array.dtype.kind in "iu" and dtype.kind not in "iu":
            raise ValueError(
                f"{path} holds {array.dtype}, which is not rounded to {dtype}; bytes "
                "of bfloat16 must have the dtype V2"
            )
        array = array.astype(dtype)
    return np.array(array, order="C")  # a copy that a run may write


def empty_array(spec: str) -> tuple[Path, np.ndarray]:
    """The file and the zeros of FILE:DTYPE:SIZExSIZE."""
    name, *parts = spec.rsplit(":", 2)
    sizes = parts[1].split("x") if len(parts) == 2 else []
    if not sizes or not all(size.isdecimal() for size in sizes):
        raise ValueError(
            f"an output must be FILE:DTYPE:SIZES, such as c.npy:float32:512x512, "
            f"got {spec!r}"
        )
    shape = tuple(map(int, sizes))
    dtype = _dtype(parts[0])
    if math.prod(shape) * dtype.itemsize >= 1 << 32:
        raise ValueError(f"output {spec} has 4 GB or more, which no transfer reaches")
    return Path(name), np.zeros(shape, dtype)


def write_array(path: Path, array: np.ndarray) -> None:
    file = io.BytesIO()
    np.save(file, array)
    write_file(path, file.getvalue())


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text; give a design in MLIR") from None


def _dtype(name: str) -> np.dtype[Any]:
    if name == BF16.name:
        return BF16
    try:
        dtype: np.dtype[Any] = np.dtype(name)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "iufb":
        raise ValueError(
            f"a dtype must be bfloat16, float32, int32 or such, got {name!r}"
        )
    return dtype
