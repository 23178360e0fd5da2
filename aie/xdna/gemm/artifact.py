"""A built design: the folder that `jax-npu build` makes, and its check before loading.

An instruction stream writes the cores' parameters to fixed addresses, and nothing in
the NPU notices if the loaded design keeps something else there. So the folder records
what the design was built from and the addresses that streams write, and a design is
only loaded if all of that equals what streams are made for now.
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from xdna.devices import FIRST_CORE_ROW
from xdna.gemm.array import GO_LOCK, GemmArray
from xdna.gemm.stream import run_words
from xdna.gemm.tiling import make_plan
from xdna.releases import SYNTAXES, release_of
from xdna.stream.decoding import decode
from xdna.stream.instructions import Write, split_address

FORMAT = 4  # version of the metadata
MLIR_FILE = "design.mlir"
XCLBIN_FILE = "gemm.xclbin"
METADATA_FILE = "design.json"
SELF_TEST_FILE = "self-test.json"


@dataclass(frozen=True)
class Artifact:
    """The metadata of a built design, as `design.json` holds them."""

    format: int
    device: str
    generation: int  # as in the header of its streams
    tile: tuple[int, ...]  # m, k, n
    out: str  # type of C
    b_column_major: bool
    images: str  # how A and B lie in DDR
    parts: int  # of a core's rows of A
    k_slice: int  # k of a memtile's slot
    resident: str  # the operand that can stay in the memtiles
    mlir_sha256: str
    xclbin_sha256: str
    addresses: tuple[int, ...]  # in cores; every stream writes them
    go_lock: int
    versions: dict[str, str]  # by tool: jax-npu, mlir-aie, peano


@functools.lru_cache(maxsize=16)
def design_text(array: GemmArray, syntax: str = SYNTAXES[0]) -> str:
    """The MLIR of the design of `array`, for a release of mlir-aie.

    In the first syntax it also stands for the design, whatever it was built with.
    """
    # Here, because xDSL is slow to import and only needed where a design is checked.
    from xdna.dialect.text import print_module
    from xdna.gemm.design import gemm_design

    return print_module(gemm_design(array), syntax=syntax)


def describe(array: GemmArray, xclbin: bytes, versions: Mapping[str, str]) -> Artifact:
    """The metadata of an xclbin that was built for `array`."""
    return Artifact(
        format=FORMAT,
        device=array.device_name,
        generation=array.device.generation,
        tile=(array.m, array.k, array.n),
        out=array.out,
        b_column_major=array.b_column_major,
        images=array.images,
        parts=array.parts,
        k_slice=array.slice_k,
        resident=array.resident,
        mlir_sha256=_sha256(design_text(array).encode()),
        xclbin_sha256=_sha256(xclbin),
        addresses=written_addresses(array),
        go_lock=GO_LOCK,
        versions=dict(versions),
    )


def write_artifact(folder: Path, artifact: Artifact) -> None:
    text = json.dumps(asdict(artifact), indent=2)
    (folder / METADATA_FILE).write_text(text + "\n", encoding="utf-8")


def read_artifact(folder: Path, device: str) -> Artifact:
    """The metadata in a folder that should hold a design of `device`.

    Raises:
      ValueError: if they are missing, damaged, or in another format.
    """
    path = folder / METADATA_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refusal(path, f"cannot be read: {error.strerror}", device) from None
    except (ValueError, RecursionError):
        raise _refusal(path, "is damaged: it is no JSON", device) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        came = record.get("format") if isinstance(record, dict) else None
        what = f"has format {came!r}, this version of jax-npu reads {FORMAT}"
        raise _refusal(path, what, device)
    try:
        return _artifact(record)
    except (KeyError, TypeError) as error:
        what = f"is damaged: {str(error).strip(chr(39))} is missing or wrong"
        raise _refusal(path, what, device) from None


def check_artifact(folder: Path, array: GemmArray) -> Path:
    """The path of the xclbin in a folder, after a check that it fits `array`.

    Raises:
      ValueError: one line with the reason, if streams for `array` must not run on it.
    """
    device = array.device_name
    artifact = read_artifact(folder, device)
    version = artifact.versions.get("mlir-aie", "unknown")
    if release_of(version) is None:
        required = " or ".join(SYNTAXES)
        what = f"was built with mlir-aie {version}, and {required} is required"
        raise _refusal(folder, what, device)
    path = folder / XCLBIN_FILE
    try:
        xclbin = path.read_bytes()
    except OSError as error:
        raise _refusal(path, f"cannot be read: {error.strerror}", device) from None
    expected = describe(array, xclbin, artifact.versions)
    for name, what in _DIFFERENCES.items():
        required, came = getattr(expected, name), getattr(artifact, name)
        if required != came:
            text = what.format(required=required, came=came)
            raise _refusal(folder, text, device)
    return path


def record_self_test(folder: Path, chip: str, passed: str, arithmetic: str) -> None:
    """Writes beside a built design that its self-test passed.

    Args:
      chip: on what, with the driver's and the firmware's version.
      passed: when.
      arithmetic: as the self-test showed it.
    """
    record = {
        "chip": chip,
        "passed": passed,
        "arithmetic": arithmetic,
        "xclbin_sha256": _sha256((folder / XCLBIN_FILE).read_bytes()),
    }
    path = folder / SELF_TEST_FILE
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def self_test_record(folder: Path) -> dict[str, str] | None:
    """What `record_self_test` wrote of the xclbin that is there now, or None."""
    try:
        record = json.loads((folder / SELF_TEST_FILE).read_text(encoding="utf-8"))
        xclbin = (folder / XCLBIN_FILE).read_bytes()
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.get("xclbin_sha256") != _sha256(xclbin):
        return None
    return {str(name): str(value) for name, value in record.items()}


def written_addresses(array: GemmArray) -> tuple[int, ...]:
    """Addresses in the cores that a run's stream writes: parameters and "go" locks."""
    # Every shape writes the same ones, so the smallest will do.
    plan = make_plan(array, 1, 1, 1, 1)
    _, stream = decode(run_words(plan, plan.runs[0]))
    written = {op.address for _, op in stream if isinstance(op, Write)}
    return tuple(sorted(a for a in written if split_address(a)[1] >= FIRST_CORE_ROW))


def check_placement(text: str, lowered: str) -> None:
    """Checks that a compiler's lowered MLIR keeps every place that a design asks for.

    Raises:
      ValueError: with the first buffer or lock that it moved or dropped.
    """
    places = dict(_places(lowered))
    for name, place in _places(text):
        if places.get(name) != place:
            kind, column, row, asked = place
            came = f"it is at {places[name][1:]}" if name in places else "it is gone"
            raise ValueError(
                f"{kind} {name} of tile ({column}, {row}) must be at {asked} in the "
                f"compiled design, and {came}: streams would write elsewhere"
            )


# Only the first difference is reported. Those that cause others come first.
_DIFFERENCES = {
    "device": "is a design for {came}, not for {required}",
    "generation": "is for NPUs of generation {came}, not {required}",
    "tile": "has tile {came}, and streams are made for {required}",
    "out": "has C in {came}, and streams are made for {required}",
    "b_column_major": "has b_column_major {came}, and streams are made for {required}",
    "images": "takes A and B in {came}, and they are packed in {required}",
    "parts": "takes A in {came} parts, and streams are made for {required}",
    "k_slice": "has slots for {came} of k, and streams are made for {required}",
    "resident": "keeps {came!r} in memtiles, and streams are made for {required!r}",
    "mlir_sha256": "was built by another version of jax-npu: the design has changed",
    "addresses": "has the cores' parameters at other addresses than streams write",
    "go_lock": "has lock {came} as the cores' go, and streams set {required}",
    "xclbin_sha256": "is damaged: gemm.xclbin is not the file that was built",
}


def _artifact(record: dict[str, Any]) -> Artifact:
    """Raises KeyError or TypeError with the name of a missing or wrong field."""
    values = {field.name: record[field.name] for field in fields(Artifact)}
    for name in ("tile", "addresses"):
        values[name] = _typed(values, name, list)
        if not all(type(number) is int for number in values[name]):
            raise TypeError(name)
        values[name] = tuple(values[name])
    strings = "device", "out", "images", "resident", "mlir_sha256", "xclbin_sha256"
    for name in strings:
        _typed(values, name, str)
    versions = _typed(values, "versions", dict)
    if not all(isinstance(version, str) for version in versions.values()):
        raise TypeError("versions")
    return Artifact(**values)


def _typed(values: dict[str, Any], name: str, kind: type) -> Any:
    if not isinstance(values[name], kind):
        raise TypeError(name)
    return values[name]


def _refusal(path: Path, what: str, device: str) -> ValueError:
    return ValueError(f"{path} {what}; run: jax-npu build --device {device}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# A line reader, not `parse_module`: only these three operations of a lowered module
# matter, and others that a compiler adds must not make it unreadable.
_TILE = re.compile(r"%(\S+) = aie\.tile\((\d+), (\d+)\)")
_BUFFER = re.compile(r"aie\.buffer\(%(\S+?)\) \{(.*?)\}")
_LOCK = re.compile(r"aie\.lock\(%(\S+?), (\d+)\) \{(.*?)\}")
_ADDRESS = re.compile(r"\baddress = (\d+)")
_NAME = re.compile(r'\bsym_name = "(.*?)"')

NOWHERE = (-1, -1)
Place = tuple[str, int, int, int | None]  # kind, column, row, address or id


def _places(text: str) -> Iterator[tuple[str, Place]]:
    tiles = {name: (int(c), int(r)) for name, c, r in _TILE.findall(text)}
    for tile, attributes in _BUFFER.findall(text):
        address = _ADDRESS.search(attributes)
        number = int(address[1]) if address else None
        yield _name(attributes), ("buffer", *tiles.get(tile, NOWHERE), number)
    for tile, number, attributes in _LOCK.findall(text):
        yield _name(attributes), ("lock", *tiles.get(tile, NOWHERE), int(number))


def _name(attributes: str) -> str:
    name = _NAME.search(attributes)
    return name[1] if name else "?"
