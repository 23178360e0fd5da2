"""Training on several devices: `--mesh data=2,model=2`.

The axis `data` divides each batch, and `model` the parameters and the optimizer's
moments. XLA makes the program of one device, with its exchanges, from where arrays lie.
"""

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gpt2_flax.errors import InputError
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.machine import MESH_AXES, parse_mesh
from gpt2_flax.training.step import State


def mesh_of(config: TrainConfig) -> Mesh | None:
    """The mesh of `--mesh`; None for one device.

    Raises:
      InputError: there are too few devices, or the batch does not divide.
    """
    sizes = parse_mesh(config.mesh)
    wanted, found = math.prod(sizes.values()), jax.device_count()
    if wanted > found:
        raise InputError(
            f"--mesh {config.mesh} needs {wanted} devices, and JAX has {found}; on a "
            f"CPU, XLA_FLAGS=--xla_force_host_platform_device_count={wanted} makes "
            "them."
        )
    if wanted != found and jax.process_count() > 1:
        raise InputError(
            f"--mesh {config.mesh} has {wanted} devices, and all processes together "
            f"have {found}; give a mesh of as many."
        )
    if wanted == 1:
        return None
    parts = sizes["data"] * config.accumulate
    if config.batch_size % parts:
        raise InputError(
            f"--batch-size {config.batch_size} must be a multiple of {parts}, into "
            "which --mesh and --accumulate divide it."
        )
    shape = tuple(sizes[name] for name in MESH_AXES)
    devices = np.array(jax.devices()[:wanted]).reshape(shape)
    return Mesh(devices, MESH_AXES, axis_types=(AxisType.Auto,) * len(shape))


def state_sharding(mesh: Mesh, array: Any) -> NamedSharding:
    """Along the first dimension that the axis `model` divides; else whole on each."""
    size = mesh.shape["model"]
    divided = [length % size == 0 for length in array.shape]
    if size == 1 or not any(divided):
        return NamedSharding(mesh, P())
    return NamedSharding(mesh, P(*[None] * divided.index(True), "model"))


def place_state(state: State, mesh: Mesh | None) -> State:
    """The state, divided over the mesh."""
    if mesh is None:
        return state
    shardings = jax.tree.map(lambda array: state_sharding(mesh, array), state)
    put = jax.device_put if jax.process_count() == 1 else put_for_all
    placed: State = jax.tree.map(put, state, shardings)
    return placed


def put_for_all(array: Any, sharding: NamedSharding) -> jax.Array:
    """An array that every process has whole, as one that is divided over them."""
    rows = np.asarray(array)
    return jax.make_array_from_callback(rows.shape, sharding, lambda index: rows[index])


def placed_shapes(shapes: Any, mesh: Mesh | None) -> Any:
    """The shapes of a state with the place where each array is to be restored."""
    if mesh is None:
        return shapes
    return jax.tree.map(
        lambda one: jax.ShapeDtypeStruct(
            one.shape, one.dtype, sharding=state_sharding(mesh, one)
        ),
        shapes,
    )


def place_batch(batch: Any, mesh: Mesh | None) -> Any:
    """The rows of a batch, divided over the axis `data`."""
    if mesh is None:
        return batch
    sharding = NamedSharding(mesh, P("data"))

    return jax.tree.map(lambda rows: put_for_all(rows, sharding), batch)
