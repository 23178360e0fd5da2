"""How a contraction is best split over devices, given how its arrays lie there.

Each axis of devices may split one label of the contraction, or none. Where it splits a
contracted label, devices sum partial results. The best of all choices is the one that
moves the fewest bytes, with the work that devices do twice counted as bytes too.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from jax_npu.contraction import Spec
from jax_npu.lowering.mesh.device_axes import DeviceAxis, Tiling

Parts = dict[str, tuple[DeviceAxis, ...]]  # the axes that split a label

# Operations that take as long as one byte takes between devices. It is 100 on a CPU
# with AMX and 1000 on accelerators, but what all devices repeat costs energy, too.
_OPERATIONS_PER_BYTE = 64


class Arrays(NamedTuple):
    """What a split is chosen for: the contraction and how its arrays lie.

    `tilings` and `itemsizes` are those of lhs, rhs and the result.
    """

    spec: Spec
    sizes: Mapping[str, int]
    itemsizes: tuple[int, int, int]
    tilings: tuple[Tiling, Tiling, Tiling]

    def parts(self, term: int) -> Parts:
        """How one of lhs, rhs and out is split."""
        return dict(zip(self.spec[term], self.tilings[term]))


def best_split(arrays: Arrays) -> Parts:
    """The axes that split each label."""
    return min(_splits(arrays), key=lambda parts: _cost(arrays, parts))


def tilings(spec: Spec, parts: Parts) -> tuple[Tiling, ...]:
    """The tilings of lhs, rhs and out that a split has."""
    return tuple(tuple(parts.get(label, ()) for label in term) for term in spec)


def summed_axes(spec: Spec, parts: Parts) -> tuple[DeviceAxis, ...]:
    """The axes over which partial results are summed."""
    contracted = (label for label in spec.lhs if label not in spec.out)
    return tuple(axis for label in contracted for axis in parts.get(label, ()))


def scattered_axes(arrays: Arrays, parts: Parts) -> Parts:
    """The axes by which a device keeps its share of a sum alone, for labels of out.

    XLA:CPU writes no reduce-scatter of its own: it sums all, then cuts.
    """
    summed = set(summed_axes(arrays.spec, parts))
    scattered: Parts = {}
    for label, wanted in arrays.parts(2).items():
        have = parts.get(label, ())
        more = wanted[len(have) :]
        is_even = arrays.sizes[label] % _num_devices([wanted]) == 0
        if more and wanted[: len(have)] == have and summed.issuperset(more) and is_even:
            scattered[label] = more
    return scattered


def with_axes(parts: Parts, more: Parts) -> Parts:
    """The same split, with labels split further by the axes in `more`."""
    return {label: axes + more.get(label, ()) for label, axes in parts.items()}


def _splits(arrays: Arrays) -> Iterator[Parts]:
    sources = [arrays.parts(term) for term in range(3)]
    users: dict[DeviceAxis, list[str | None]] = {}
    for parts in sources:
        for label, axes in parts.items():
            for axis in axes:
                labels = users.setdefault(axis, [])
                if label not in labels:
                    labels.append(label)
    for axis, labels in users.items():
        summed = _summed_label(arrays, axis)
        users[axis] = [summed] if summed else [*labels, None]
    for choice in itertools.product(*users.values()):
        chosen = dict(zip(users, choice))
        yield {
            label: _in_order(label, [a for a in users if chosen[a] == label], sources)
            for label in dict.fromkeys(arrays.spec.lhs + arrays.spec.rhs)
        }


def _summed_label(arrays: Arrays, axis: DeviceAxis) -> str | None:
    """The contracted label that an axis splits in both operands.

    It stays: gathering activations would be the way out, and each device would do all
    of the work.
    """
    lhs, rhs = arrays.parts(0), arrays.parts(1)
    for label in arrays.spec.lhs:
        is_contracted = label not in arrays.spec.out
        if is_contracted and axis in lhs[label] and axis in rhs[label]:
            return label
    return None


def _in_order(
    label: str, axes: list[DeviceAxis], sources: Iterable[Parts]
) -> tuple[DeviceAxis, ...]:
    """The axes of one label in the order of the array that has the most of them."""
    orders = [parts.get(label, ()) for parts in sources]
    order = max(orders, key=lambda order: len(set(order) & set(axes)))
    known = tuple(axis for axis in order if axis in axes)
    return known + tuple(axis for axis in axes if axis not in known)


def _cost(arrays: Arrays, parts: Parts) -> float:
    """The bytes that one device sends or receives, and its work as bytes."""
    spec, sizes = arrays.spec, arrays.sizes
    moved = [
        _bytes_to_reshard(arrays, term, arrays.parts(term), parts) for term in (0, 1)
    ]
    moved.append(_bytes_to_reshard(arrays, 2, parts, arrays.parts(2)))
    summed = summed_axes(spec, parts)
    if summed:
        wanted = {axis for axes in arrays.parts(2).values() for axis in axes}
        shares = 1 if wanted.issuperset(summed) else 2  # reduce-scatter or all-reduce
        moved.append(shares * _local_bytes(arrays, 2, parts))
    work = 2 * math.prod(sizes.values()) / _num_devices(parts.values())
    return sum(moved) + work / _OPERATIONS_PER_BYTE


def _bytes_to_reshard(arrays: Arrays, term: int, have: Parts, want: Parts) -> float:
    pairs = [(have.get(c, ()), want.get(c, ())) for c in arrays.spec[term]]
    if all(new[: len(old)] == old for old, new in pairs):
        return 0.0  # a device cuts out what it has
    if _num_devices(old for old, _ in pairs) == _num_devices(new for _, new in pairs):
        return _local_bytes(arrays, term, want)  # an exchange
    kept = {c: _common_prefix(*pair) for c, pair in zip(arrays.spec[term], pairs)}
    return _local_bytes(arrays, term, kept)


def _local_bytes(arrays: Arrays, term: int, parts: Parts) -> float:
    labels = arrays.spec[term]
    elements = math.prod(arrays.sizes[label] for label in labels)
    devices = _num_devices(parts.get(label, ()) for label in labels)
    return elements * arrays.itemsizes[term] / devices


def _num_devices(parts: Iterable[tuple[DeviceAxis, ...]]) -> int:
    return math.prod(axis.size for axes in parts for axis in axes)


def _common_prefix(
    one: tuple[DeviceAxis, ...], other: tuple[DeviceAxis, ...]
) -> tuple[DeviceAxis, ...]:
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other))
    return tuple(axis for axis, _ in same)
