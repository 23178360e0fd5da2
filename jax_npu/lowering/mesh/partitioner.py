"""The custom call of a product over several devices, and how XLA splits it.

Before XLA partitions a program, such a product is one call, whose configuration says
all that the products of single devices need. The partitioner asks `partition` for
each, with the shardings that it would like. The configuration holds no address and no
path: an exported program runs in any process that imports jax_npu.

The call has the name of those that it becomes, so that whoever exports a program allows
one name. The partitioner therefore asks about products of single devices too, inside a
`shard_map`; they stay as they are.
"""

import contextlib
import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_npu.contraction import label_sizes
from jax_npu.jax_private import HloSharding, program_on_mesh
from jax_npu.lowering.call import (
    GemmParams,
    gemm_call,
    params_of,
    same_call,
)
from jax_npu.lowering.mesh.device_axes import (
    DeviceAxis,
    Tiling,
    common_axes,
    in_axes,
    tiling_of,
    to_hlo_sharding,
)
from jax_npu.lowering.mesh.split import (
    Arrays,
    Parts,
    best_split,
    scattered_axes,
    summed_axes,
    tilings,
    with_axes,
)


@dataclasses.dataclass(frozen=True)
class SplitCall:
    """A product that XLA is to split, as the call's configuration holds it.

    Attributes:
      params, out_dtype: as `gemm_call` takes them.
      mesh: size of each axis of devices, and whether it is split already.
    """

    params: GemmParams
    out_dtype: str
    mesh: Sequence[tuple[int, bool]]

    def to_config(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_config(cls, config: bytes) -> "SplitCall":
        fields = json.loads(config)
        return cls(params_of(fields.pop("params")), **fields)

    def free_axes(self) -> list[int]:
        """Sizes of the axes that are not split already."""
        return [size for size, is_split in self.mesh if not is_split]

    def boundaries(self) -> list[int]:
        """The strides of those axes."""
        sizes = self.free_axes()
        return [math.prod(sizes[i:]) for i in range(len(sizes) + 1)]


def partition(
    target: str,
    shapes: Any,
    shardings: Any,
    out_shape: Any,
    out_sharding: Any,
    config: bytes,
) -> tuple[bytes, list[Any], Any]:
    """The program of one device, and the shardings that it is written for."""
    if out_sharding.is_manual():
        program = same_call(target, shapes, out_shape, config)
        return program, shardings, out_sharding
    call = SplitCall.from_config(config)
    axes, arrays = _arrays(call, shapes, [*shardings, out_sharding])
    parts = best_split(arrays)
    scattered = scattered_axes(arrays, parts)
    lhs, rhs, _ = tilings(arrays.spec, parts)
    *_, out = tilings(arrays.spec, with_axes(parts, scattered))
    shardings = [to_hlo_sharding(tiling, axes) for tiling in (lhs, rhs, out)]
    local = [
        jax.ShapeDtypeStruct(sharding.tile(shape).dimensions(), shape.numpy_dtype())
        for sharding, shape in zip(shardings, shapes)
    ]
    names, mesh = _mesh(call, axes)
    function = functools.partial(_local_product, call, arrays, parts, scattered, names)
    return program_on_mesh(function, local, mesh), shardings[:2], shardings[2]


def infer_sharding(shapes: Any, shardings: Any, out_shape: Any, config: bytes) -> Any:
    """The result's sharding where only those of the operands are known.

    XLA asks when Shardy is switched off.
    """
    call = SplitCall.from_config(config)
    axes, arrays = _arrays(call, shapes, [*shardings, HloSharding.replicate()])
    parts: Parts = {}
    for term in (0, 1):
        used = {axis for split in parts.values() for axis in split}
        for label, split in arrays.parts(term).items():
            if label in arrays.spec.out and used.isdisjoint(split):
                parts.setdefault(label, split)
    return to_hlo_sharding(tilings(arrays.spec, parts)[2], axes)


def _arrays(
    call: SplitCall, shapes: Any, shardings: list[Any]
) -> tuple[tuple[DeviceAxis, ...], Arrays]:
    """The axes of devices that matter, and the arrays in their terms."""
    spec = call.params["spec"]
    sizes = label_sizes(spec, *(shape.dimensions() for shape in shapes))
    lhs_bytes, rhs_bytes = (shape.numpy_dtype().itemsize for shape in shapes)
    itemsizes = (lhs_bytes, rhs_bytes, jnp.dtype(call.out_dtype).itemsize)
    num_bytes = [
        itemsize * math.prod(sizes[label] for label in term)
        for itemsize, term in zip(itemsizes, spec)
    ]
    num_devices, boundaries = math.prod(call.free_axes()), call.boundaries()
    axes = common_axes(num_devices, [], boundaries)
    tilings: list[Tiling] = [((),) * len(term) for term in spec]
    for i in sorted(range(3), key=lambda i: -num_bytes[i]):
        if shardings[i] is None:
            continue
        # Arrays of a 2 x 3 and of a 3 x 2 mesh have no common axes: the smaller one
        # counts as whole, so that XLA gathers it.
        with contextlib.suppress(ValueError):
            tiling = tiling_of(shardings[i], len(spec[i]))
            axes = common_axes(num_devices, [*tilings, tiling], boundaries)
            tilings[i] = tiling
    lhs, rhs, out = (in_axes(tiling, axes) for tiling in tilings)
    return axes, Arrays(spec, sizes, itemsizes, (lhs, rhs, out))


def _mesh(
    call: SplitCall, axes: tuple[DeviceAxis, ...]
) -> tuple[dict[DeviceAxis, str], dict[str, int]]:
    """Names of the axes, and the mesh of all devices that has axes of these names."""
    names = {axis: f"axis{i}" for i, axis in enumerate(axes)}
    mesh: dict[str, int] = {}
    end = math.prod(call.free_axes())
    for i, (size, is_split) in enumerate(call.mesh):
        if is_split:
            mesh[f"split{i}"] = size
            continue
        start = end // size
        inside = (axis for axis in axes if start <= axis.stride < end)
        mesh |= {names[axis]: axis.size for axis in inside}
        end = start
    return names, mesh


def _local_product(
    call: SplitCall,
    arrays: Arrays,
    parts: Parts,
    scattered: Parts,
    names: dict[DeviceAxis, str],
    lhs: jax.Array,
    rhs: jax.Array,
) -> jax.Array:
    """What one device computes: its product, summed with those of others.

    If the devices do not divide a size, XLA pads, with values that the earlier
    operations computed from their own padding; zeros replace all that is past the end.
    """
    spec = arrays.spec
    for label in (label for label in spec.lhs if label not in spec.out):
        split = tuple(names[axis] for axis in parts.get(label, ()))
        size = arrays.sizes[label]
        if size % math.prod(axis.size for axis in parts.get(label, ())):
            # Both operands: NaN or infinity in the padding times 0 is NaN.
            lhs = _cut(lhs, spec.lhs.index(label), size, split)
            rhs = _cut(rhs, spec.rhs.index(label), size, split)
    product = functools.partial(gemm_call, lhs, rhs, **call.params)
    summed = summed_axes(spec, parts)
    if not summed:
        return product(out_dtype=jnp.dtype(call.out_dtype))
    total = product(out_dtype=jnp.float32)
    for label, axes in scattered.items():
        over, dim = tuple(names[axis] for axis in axes), spec.out.index(label)
        total = jax.lax.psum_scatter(total, over, scatter_dimension=dim, tiled=True)
    done = {axis for axes in scattered.values() for axis in axes}
    left = tuple(names[axis] for axis in summed if axis not in done)
    if left:
        total = jax.lax.psum(total, left)
    return total.astype(call.out_dtype)


def _cut(operand: jax.Array, dim: int, size: int, axes: tuple[str, ...]) -> jax.Array:
    """This device's part of an operand, with zeros past the global `size` of `dim`."""
    local_size = operand.shape[dim]  # ceil(size / number of devices along axes)
    first = jax.lax.axis_index(axes) * local_size
    index = first + jax.lax.broadcasted_iota(jnp.int32, operand.shape, dim)
    return jnp.where(index < size, operand, jnp.zeros((), operand.dtype))
