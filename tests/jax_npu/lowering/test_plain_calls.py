"""Where one device computes a product alone, the program is nothing but its call."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax import P, lax
from jax.sharding import AbstractMesh, AxisType, NamedSharding

import jax_npu

LHS, RHS = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((8, 12), (12, 16)))
# What a call has that XLA is to split: Shardy's rule, and a configuration for the
# partitioner, which calls of version 4 have no place for.
MACHINERY = ("sdy.sharding_rule", "api_version = 2")
MATMULS = {
    "jax_npu": functools.partial(jax_npu.matmul, backend="host"),
    "offload": jax_npu.offload(jnp.matmul, backend="host"),
}


@pytest.fixture(params=MATMULS)
def matmul(request):
    return MATMULS[request.param]


def gradients(matmul):
    return jax.grad(lambda lhs, rhs: (matmul(lhs, rhs) ** 2).sum(), (0, 1))


def lowered(function, *operands):
    lowering = jax.jit(function).trace(*operands).lower(lowering_platforms=("cpu",))
    return lowering.as_text()


def assert_plain(text, num_calls):
    assert text.count("@xdna_gemm_host") == num_calls
    assert [word for word in MACHINERY if word in text] == []


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_a_product_on_four_devices_has_what_the_partitioner_needs(matmul, kind):
    mesh = AbstractMesh((4,), ("x",), axis_types=(kind,))
    lhs = LHS.update(sharding=NamedSharding(mesh, P("x")))
    rhs = RHS.update(sharding=NamedSharding(mesh, P()))
    with jax.sharding.use_abstract_mesh(mesh):
        text = lowered(matmul, lhs, rhs)
    assert [word for word in MACHINERY if word not in text] == []


def test_on_one_device_there_is_no_sharding_at_all(matmul):
    for function, num_calls in ((matmul, 1), (gradients(matmul), 3)):
        text = lowered(function, LHS, RHS)
        assert_plain(text, num_calls)
        assert "sdy." not in text


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_a_mesh_of_one_device_adds_nothing_to_the_call(matmul, kind):
    mesh = AbstractMesh((1, 1), ("x", "y"), axis_types=(kind,) * 2)
    lhs = LHS.update(sharding=NamedSharding(mesh, P("x")))
    rhs = RHS.update(sharding=NamedSharding(mesh, P(None, "y")))
    with jax.sharding.use_abstract_mesh(mesh):
        assert_plain(lowered(matmul, lhs, rhs), 1)
        assert_plain(lowered(gradients(matmul), lhs, rhs), 3)


def test_in_a_full_shard_map_there_are_the_call_and_the_programs_own_sum(matmul):
    mesh = AbstractMesh((2, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
    mapped = jax.shard_map(
        lambda lhs, rhs: lax.psum(matmul(lhs, rhs), "y"),
        mesh=mesh,
        in_specs=(P("x", "y"), P("y")),
        out_specs=P("x"),
    )
    text = lowered(mapped, LHS, RHS)
    assert_plain(text, 1)
    assert text.count("stablehlo.all_reduce") == 1
    assert_plain(lowered(gradients(mapped), LHS, RHS), 3)


def test_free_axes_of_size_one_add_nothing_to_a_shard_map(matmul):
    mesh = AbstractMesh((4, 1), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
    mapped = jax.shard_map(
        matmul, mesh=mesh, in_specs=(P("x"), P()), out_specs=P("x"), axis_names={"x"}
    )
    assert_plain(lowered(mapped, LHS, RHS), 1)
