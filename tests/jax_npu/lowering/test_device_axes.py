"""Shardings as axes of the device index: there and back, and what is no mesh's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import P
from jax.sharding import AbstractMesh, NamedSharding

from jax_npu.jax_private import HloSharding, hlo_tiling
from jax_npu.lowering.mesh.device_axes import (
    DeviceAxis,
    common_axes,
    in_axes,
    tiling_of,
    to_hlo_sharding,
)

MESHES = [(1,), (8,), (6,), (2, 4), (4, 2), (2, 1, 3), (2, 3, 2), (2, 2, 2, 2)]


@st.composite
def mesh_shardings(draw, num=1):
    """A mesh's shape, and `num` splits of arrays over its axes."""
    shape = draw(st.sampled_from(MESHES))
    specs = [draw(_specs(len(shape))) for _ in range(num)]
    return shape, specs


@st.composite
def _specs(draw, num_axes):
    parts = [[] for _ in range(draw(st.integers(1, 4)))]
    for axis in draw(st.permutations(range(num_axes))):
        if draw(st.booleans()):
            parts[draw(st.integers(0, len(parts) - 1))].append(f"a{axis}")
    return P(*(tuple(part) or None for part in parts))


def hlo_sharding(shape, spec):
    mesh = AbstractMesh(shape, tuple(f"a{i}" for i in range(len(shape))))
    return NamedSharding(mesh, spec)._to_xla_hlo_sharding(len(spec))


def parts_of_devices(sharding, ndim, num_devices):
    """The part of each dimension that each device holds."""
    if sharding.is_replicated():
        return dict.fromkeys(range(num_devices), (0,) * ndim)
    devices = np.reshape(
        sharding.tile_assignment_devices(), sharding.tile_assignment_dimensions()
    )
    return {int(d): index[:ndim] for index, d in np.ndenumerate(devices)}


@given(mesh_shardings())
def test_a_sharding_of_any_mesh_comes_back_from_its_axes(case):
    shape, (spec,) = case
    sharding, num_devices = hlo_sharding(shape, spec), math.prod(shape)
    tiling = tiling_of(sharding, len(spec))
    axes = common_axes(num_devices, [tiling])
    back = to_hlo_sharding(in_axes(tiling, axes), axes)
    assert parts_of_devices(back, len(spec), num_devices) == parts_of_devices(
        sharding, len(spec), num_devices
    )


@given(mesh_shardings(num=3))
def test_three_shardings_of_a_mesh_have_common_axes(case):
    shape, specs = case
    num_devices = math.prod(shape)
    shardings = [hlo_sharding(shape, spec) for spec in specs]
    tilings = [tiling_of(s, len(p)) for s, p in zip(shardings, specs)]
    axes = common_axes(num_devices, tilings)
    assert math.prod(axis.size for axis in axes) == num_devices
    for sharding, tiling, spec in zip(shardings, tilings, specs):
        back = to_hlo_sharding(in_axes(tiling, axes), axes)
        assert parts_of_devices(back, len(spec), num_devices) == parts_of_devices(
            sharding, len(spec), num_devices
        )


def test_axes_of_neighbours_are_one():
    both = tiling_of(hlo_sharding((2, 4), P(("a0", "a1"))), 1)
    assert both == ((DeviceAxis(1, 8),),)
    assert common_axes(8, [both]) == (DeviceAxis(1, 8),)


def test_a_boundary_cuts_an_axis():
    whole = ((DeviceAxis(1, 8),),)
    axes = common_axes(8, [whole], boundaries=[4])
    assert axes == (DeviceAxis(4, 2), DeviceAxis(1, 4))
    assert in_axes(whole, axes) == (axes,)


def test_swapped_axes_keep_their_order():
    swapped = tiling_of(hlo_sharding((2, 4), P(("a1", "a0"))), 1)
    assert swapped == ((DeviceAxis(1, 4), DeviceAxis(4, 2)),)


@pytest.mark.parametrize(
    "devices", [[1, 0, 2, 3], [3, 2, 1, 0], [0, 1, 3, 2], [0, 2, 3, 1]], ids=str
)
@pytest.mark.parametrize("tiles", [(4, 1), (2, 2)], ids=str)
def test_devices_in_no_order_of_a_mesh_are_refused(devices, tiles):
    sharding = HloSharding.subgroup_with_device_ordering(
        np.reshape(devices, tiles), subgroup_types=[]
    )
    with pytest.raises(ValueError, match="jax_npu needs"):
        tiling_of(sharding, 2)


def test_axes_that_overlap_are_refused():
    six = ((DeviceAxis(1, 2), DeviceAxis(1, 3)),)
    with pytest.raises(ValueError, match="of one mesh"):
        common_axes(6, [six])


def test_an_array_on_one_device_has_no_axes():
    one = hlo_tiling((1, 1), 1, (1,), (0,))
    assert tiling_of(one, 2) == ((), ())
