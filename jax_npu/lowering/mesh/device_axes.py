"""Shardings as axes of the linear device index, whatever mesh they came from.

XLA's partitioner knows no mesh. A tiling of its own is an arrangement of the devices
0 to n - 1, and one that a mesh made is regular: along each dimension of the array the
device index grows in steps. Such a stretch of steps is a `DeviceAxis`.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jax_npu.jax_private import HloSharding, hlo_tiling


class DeviceAxis(NamedTuple):
    """`size` devices whose indices are `stride` apart."""

    stride: int
    size: int


# For each dimension of an array the axes that split it, the outermost first.
Tiling = tuple[tuple[DeviceAxis, ...], ...]


def tiling_of(sharding: Any, ndim: int) -> Tiling:
    """The axes that split each dimension of an array of that sharding.

    Raises:
      ValueError: for an arrangement of devices that no mesh makes.
    """
    if sharding.is_replicated() or sharding.num_devices() == 1:
        return ((),) * ndim
    if not sharding.is_tiled():
        raise ValueError(f"jax_npu needs a tiled sharding, got {sharding}")
    devices = np.array(sharding.tile_assignment_devices())
    devices = devices.reshape(sharding.tile_assignment_dimensions())
    tiling = tuple(_axes(_along(devices, dim)) for dim in range(ndim))
    # The dimensions after these arrange devices that hold the same part.
    same = [_axes(_along(devices, dim)) for dim in range(ndim, devices.ndim)]
    steps = np.zeros((), np.int64)
    for axes in (*tiling, *same):
        for axis in axes:
            steps = np.add.outer(steps, axis.stride * np.arange(axis.size))
    if not np.array_equal(steps.ravel() + devices.flat[0], devices.ravel()):
        raise ValueError(
            f"jax_npu needs the devices of a mesh in order, got {sharding}"
        )
    return tiling


def _along(devices: np.ndarray, dim: int) -> np.ndarray:
    first = tuple(slice(None) if d == dim else 0 for d in range(devices.ndim))
    steps: np.ndarray = devices[first] - devices[first][0]
    return steps


def _axes(steps: np.ndarray) -> tuple[DeviceAxis, ...]:
    axes: list[DeviceAxis] = []
    while len(steps) > 1:
        stride = int(steps[1])
        irregular = np.flatnonzero(steps != stride * np.arange(len(steps)))
        size = int(irregular[0]) if len(irregular) else len(steps)
        if stride < 1 or len(steps) % size:
            raise ValueError(f"jax_npu needs a regular sharding, got steps {steps}")
        axes.insert(0, DeviceAxis(stride, size))
        steps = steps[::size]
    return tuple(axes)


def common_axes(
    num_devices: int, tilings: Iterable[Tiling], boundaries: Iterable[int] = ()
) -> tuple[DeviceAxis, ...]:
    """The fewest axes, outermost first, of which those of all tilings are made.

    Args:
      boundaries: strides at which an axis must end, besides.

    Raises:
      ValueError: if there are none.
    """
    cuts = {1, num_devices, *boundaries}
    for tiling in tilings:
        for axis in (axis for axes in tiling for axis in axes):
            cuts |= {axis.stride, axis.stride * axis.size}
    ordered = sorted(cuts)
    if any(cut % before for before, cut in itertools.pairwise(ordered)):
        raise ValueError(f"jax_npu needs shardings of one mesh, got steps {ordered}")
    pairs = itertools.pairwise(ordered)
    return tuple(DeviceAxis(low, high // low) for low, high in pairs)[::-1]


def in_axes(tiling: Tiling, axes: Sequence[DeviceAxis]) -> Tiling:
    """The same tiling in terms of `axes`, which `common_axes` made for it."""

    def parts(whole: DeviceAxis) -> tuple[DeviceAxis, ...]:
        end = whole.stride * whole.size
        return tuple(a for a in axes if whole.stride <= a.stride < end)

    return tuple(tuple(part for axis in dim for part in parts(axis)) for dim in tiling)


def to_hlo_sharding(tiling: Tiling, axes: Sequence[DeviceAxis]) -> HloSharding:
    """XLA's sharding of that tiling, over all devices of `axes`."""
    used = [axes.index(axis) for dim in tiling for axis in dim]
    if not used:
        return HloSharding.replicate()
    unused = [i for i in range(len(axes)) if i not in used]
    return hlo_tiling(
        [math.prod(axis.size for axis in dim) for dim in tiling],
        math.prod(axes[i].size for i in unused),
        [axis.size for axis in axes],
        used + unused,
    )
