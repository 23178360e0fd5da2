"""The traffic of a compiled program, read from the text of its HLO."""

import math
import re
from typing import NamedTuple

KINDS = (
    *("all-gather", "all-reduce", "all-to-all"),
    *("collective-broadcast", "collective-permute", "reduce-scatter"),
)
# %name = f32[8,16]{1,0} all-gather(..., or with a tuple of types; "-done" moves nothing
_COLLECTIVE = re.compile(rf" = (\(.*?\)|\S+) ({'|'.join(KINDS)})(-start)?\((.*)")
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+)\[([\d,]*)\]")
_LISTED = re.compile(r"replica_groups=\{\{([\d,]+)\}")
_IOTA = re.compile(r"replica_groups=\[\d+,(\d+)\]<=")
# As newer versions print it: replica_groups=mesh['d'=2,'t'=4] {'d'}
_MESH = re.compile(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}")


class Collective(NamedTuple):
    """One collective: the shapes of its results, and the bytes that a device sends."""

    kind: str
    shapes: tuple[tuple[int, ...], ...]
    sent_bytes: float


def collectives(compiled, num_devices):
    """The collectives of a compiled program; a pair of start and done is one."""
    found = _COLLECTIVE.findall(compiled.as_text())
    return [_collective(*groups, num_devices) for groups in found]


def sent_bytes(found):
    return sum(one.sent_bytes for one in found)


def summary(found):
    """A line such as "2 all-reduce 7,168 B, 1 all-gather 448 B"."""
    parts = []
    for kind in KINDS:
        if same := [one for one in found if one.kind == kind]:
            parts.append(f"{len(same)} {kind} {sent_bytes(same):,.0f} B")
    return ", ".join(parts) or "nothing"


def _collective(types, kind, is_start, rest, num_devices):
    arrays = [
        (name, tuple(int(n) for n in dims.split(",") if n))
        for name, dims in _ARRAY.findall(types)
    ]
    if is_start and kind != "all-reduce":  # (operands, results)
        arrays = arrays[len(arrays) // 2 :]
    num_bytes = sum(_itemsize(name) * math.prod(shape) for name, shape in arrays)
    group = _group_size(rest, num_devices)
    shares = {  # of the results' bytes, by the algorithms that send the fewest
        "all-gather": (group - 1) / group,
        "all-reduce": 2 * (group - 1) / group,
        "all-to-all": (group - 1) / group,
        "reduce-scatter": group - 1,
    }
    shapes = tuple(shape for _, shape in arrays)
    return Collective(kind, shapes, shares.get(kind, 1) * num_bytes)


def _itemsize(name):
    return 1 if name == "pred" else int(re.sub(r"\D", "", name)[:2]) // 8


def _group_size(rest, num_devices):
    if listed := _LISTED.search(rest):
        return listed[1].count(",") + 1
    if iota := _IOTA.search(rest):
        return int(iota[1])
    if mesh := _MESH.search(rest):
        sizes = {n: int(s) for n, s in re.findall(r"'(\w+)'=(\d+)", mesh[1])}
        return math.prod(sizes[name] for name in re.findall(r"'(\w+)'", mesh[2]))
    return num_devices
