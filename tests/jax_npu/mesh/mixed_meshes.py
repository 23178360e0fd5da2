"""Types of products on meshes of mixed axes; test_partitioning.py runs this file."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import P, lax
from jax.sharding import AxisType, NamedSharding, reshard

import jax_npu

ROWS_COLUMNS = (((1,), (0,)), ((), ()))
AUTO, EXPLICIT = AxisType.Auto, AxisType.Explicit
# lhs, rhs and out
SHARDINGS = [
    (P("x"), P(None, "y"), P("x", "y")),
    (P(None, "x"), P("x"), P(None, ("y", "x"))),
    (P("x", "y"), P("y", "x"), P("y", "x")),
    (P(("x", "y")), P(), P(None, "x")),
]


@pytest.fixture(params=[(AUTO, EXPLICIT), (EXPLICIT, AUTO), (EXPLICIT,) * 2], ids=str)
def mesh(request):
    mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=request.param)
    with jax.set_mesh(mesh):
        yield mesh


@pytest.fixture
def explicit_mesh():
    mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(EXPLICIT,) * 2)
    with jax.set_mesh(mesh):
        yield mesh


def integers(rng, *shape):
    return rng.integers(-3, 4, shape).astype(np.float32)


def put(x, mesh, parts):
    return jax.device_put(x, NamedSharding(mesh, parts))


def explicit_part(parts, mesh, ndim):
    """The spec `parts`, restricted to the mesh's Explicit axes."""
    explicit = mesh.abstract_mesh.explicit_axes
    kept = []
    for part in (*parts, *[None] * ndim)[:ndim]:
        axes = (part,) if isinstance(part, str) else part or ()
        axes = tuple(axis for axis in axes if axis in explicit)
        kept.append(axes if len(axes) > 1 else axes[0] if axes else None)
    return P(*kept)


def assert_as_lax(actual, expected, mesh):
    """Checks that values and types are lax's, and that the type gives the split."""
    for ours, stock in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        assert jax.typeof(ours) == jax.typeof(stock)
        lies = explicit_part(ours.sharding.spec, mesh, ours.ndim)
        assert lies == jax.typeof(ours).sharding.spec
        np.testing.assert_array_equal(ours, stock)


def products(module, out):
    """Functions of (8, 12) and (12, 16), whose results have the out_sharding `out`."""
    matmul = functools.partial(module.matmul, out_sharding=out)
    einsum = functools.partial(module.einsum, out_sharding=out)
    return {
        "matmul": matmul,
        "einsum": lambda a, b: einsum("ij,jk->ik", a, b),
        "gradient": jax.grad(lambda a, b: (matmul(a, b) ** 2).sum(), (0, 1)),
        "vmap": lambda a, b: jax.vmap(matmul, (0, None))(jnp.stack([a, a + 1]), b),
        "vmap of a gradient": lambda a, b: jax.vmap(
            jax.grad(lambda a, b: (matmul(a, b) ** 2).sum(), 1), (0, None)
        )(jnp.stack([a, a + 1]), b),
    }


@pytest.mark.parametrize("shardings", SHARDINGS, ids=str)
def test_types_describe_how_results_are_split(
    custom_call_backend, rng, mesh, shardings
):
    run_both, lhs, rhs = both_products(rng, mesh, *shardings)
    assert_as_lax(*jax.jit(run_both)(lhs, rhs), mesh)


def test_types_describe_how_results_are_split_without_jit(
    custom_call_backend, rng, mesh
):
    run_both, lhs, rhs = both_products(rng, mesh, *SHARDINGS[0])
    assert_as_lax(*run_both(lhs, rhs), mesh)


def both_products(rng, mesh, lhs, rhs, out):
    """A function that runs all products, ours and JAX's, and its operands."""
    lhs, rhs = (
        put(integers(rng, 8, 12), mesh, lhs),
        put(integers(rng, 12, 16), mesh, rhs),
    )
    functions = [products(m, explicit_part(out, mesh, 2)) for m in (jax_npu, jnp)]

    def run_both(lhs, rhs):
        return [{name: f(lhs, rhs) for name, f in fs.items()} for fs in functions]

    return run_both, lhs, rhs


@pytest.mark.parametrize("parts", [("x", None), (None, "x"), ("y", "y")], ids=str)
def test_einsum_without_an_out_sharding_is_typed_as_in_jax(
    custom_call_backend, rng, mesh, parts
):
    lhs = put(integers(rng, 4, 8, 12), mesh, P(parts[0]))
    rhs = put(integers(rng, 4, 12, 6), mesh, P(parts[1]))

    def run(module):
        subscripts = ["bij,bjk->bik", "bij,bjk->kbi", "bij,bjk->bki"]
        einsums = [functools.partial(module.einsum, s) for s in subscripts]
        return jax.jit(lambda *operands: [f(*operands) for f in einsums])(lhs, rhs)

    try:
        expected = run(jnp)
    except Exception as refusal:  # newer versions want one split of the batches
        with pytest.raises(type(refusal), match=re.escape(str(refusal))):
            run(jax_npu)
    else:
        assert_as_lax(run(jax_npu), expected, mesh)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_vmap_with_an_spmd_axis_name_is_typed_as_in_lax(
    custom_call_backend, rng, backward
):
    mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(AUTO, EXPLICIT))
    lhs, rhs = integers(rng, 4, 8, 12), integers(rng, 12, 16)

    def run(module):
        product = functools.partial(module.matmul, out_sharding=P("y", None))
        if backward:
            product = jax.grad(lambda a, b, dot=product: (dot(a, b) ** 2).sum(), (0, 1))
        mapped = jax.vmap(product, (0, None), spmd_axis_name="x")
        return jax.jit(mapped)(lhs, put(rhs, mesh, P("y")))

    with jax.set_mesh(mesh):
        assert_as_lax(run(jax_npu), run(jnp), mesh)


@pytest.mark.parametrize("types", [(AUTO,) * 2, (AUTO, EXPLICIT), (EXPLICIT,) * 2])
@pytest.mark.parametrize("manual", ["x", "y"])
def test_a_product_in_a_shard_map_over_one_axis_of_two_is_right(
    custom_call_backend, rng, types, manual
):
    mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=types)
    free = "y" if manual == "x" else "x"
    lhs, rhs = integers(rng, 8, 14), integers(rng, 14, 6)
    is_typed = types["xy".index(free)] == EXPLICIT

    def run(module):
        out = P(None, free) if is_typed else None
        product = functools.partial(module.matmul, out_sharding=out)
        mapped = jax.shard_map(
            lambda a, b: product(a + 1, b),
            in_specs=(P(manual), P()),
            out_specs=P(manual),
            axis_names={manual},
        )
        gradient = jax.grad(lambda a, b: (mapped(a, b) ** 2).sum(), (0, 1))
        operands = put(lhs, mesh, P(manual, free)), put(rhs, mesh, P(free))
        return jax.jit(mapped)(*operands), jax.jit(gradient)(*operands)

    with jax.set_mesh(mesh):
        assert_as_lax(run(jax_npu), run(jnp), mesh)


def test_an_uneven_sum_in_a_shard_map_over_another_axis_is_right(
    custom_call_backend, rng
):
    mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(AUTO,) * 2)
    lhs, rhs = integers(rng, 8, 13), integers(rng, 13, 6)

    def local(lhs, rhs):
        lhs = lax.with_sharding_constraint(lhs, P(None, "y"))
        rhs = lax.with_sharding_constraint(rhs, P("y"))
        return jax_npu.matmul(jnp.exp2(lhs), jnp.exp2(rhs))

    with jax.set_mesh(mesh):
        product = jax.shard_map(
            local, in_specs=(P("x"), P()), out_specs=P("x"), axis_names={"x"}
        )
        out = jax.jit(product)(lhs, rhs)
    np.testing.assert_array_equal(out, np.exp2(lhs) @ np.exp2(rhs))


@pytest.mark.parametrize("jit", [True, False], ids=["jit", "no jit"])
def test_an_unreduced_out_sharding_leaves_partial_sums(
    custom_call_backend, rng, explicit_mesh, jit
):
    lhs, rhs = integers(rng, 8, 12), integers(rng, 12, 16)
    operands = jax.device_put(lhs, P(None, "x")), jax.device_put(rhs, P("x"))
    out = P(None, "y", unreduced={"x"})
    run = jax.jit if jit else lambda function: function
    ours, stock = (
        run(functools.partial(dot, dimension_numbers=ROWS_COLUMNS, out_sharding=out))(
            *operands
        )
        for dot in (jax_npu.dot_general, lax.dot_general)
    )
    assert jax.typeof(ours) == jax.typeof(stock)
    for a, b in zip(ours.addressable_shards, stock.addressable_shards):
        np.testing.assert_array_equal(a.data, b.data)
    np.testing.assert_array_equal(reshard(ours, P("x", "y")), lhs @ rhs)


def test_the_gradient_of_an_unreduced_product_is_right(
    custom_call_backend, rng, explicit_mesh
):
    lhs, rhs = integers(rng, 8, 12), integers(rng, 12, 16)
    operands = jax.device_put(lhs, P(None, "x")), jax.device_put(rhs, P("x"))

    def gradient(module):
        def loss(a, b):
            partial_sums = module.matmul(a, b, out_sharding=P(unreduced={"x"}))
            return (reshard(partial_sums, P("x")) ** 2).sum()

        return jax.jit(jax.grad(loss, (0, 1)))(*operands)

    assert_as_lax(gradient(jax_npu), gradient(jnp), explicit_mesh)


def test_the_gradient_of_a_reduced_weight_is_unreduced(
    custom_call_backend, rng, explicit_mesh
):
    x, w = jax.device_put(integers(rng, 8, 12), P("x")), integers(rng, 12, 16)
    w = jax.device_put(w, P(None, None, reduced={"x"}))

    def gradient(module):
        return jax.jit(jax.grad(lambda w: (module.matmul(x, w) ** 2).sum()))(w)

    ours, stock = gradient(jax_npu), gradient(jnp)
    assert jax.typeof(ours) == jax.typeof(stock)
    np.testing.assert_array_equal(reshard(ours, P()), reshard(stock, P()))


def test_vmap_of_an_unreduced_product_is_right(custom_call_backend, rng, explicit_mesh):
    lhs, rhs = integers(rng, 3, 8, 12), integers(rng, 12, 16)
    operands = jax.device_put(lhs, P(None, None, "x")), jax.device_put(rhs, P("x"))
    out = P(None, None, unreduced={"x"})
    product = functools.partial(jax_npu.matmul, out_sharding=out)
    partial_sums = jax.jit(jax.vmap(product, (0, None)))(*operands)
    np.testing.assert_array_equal(reshard(partial_sums, P()), lhs @ rhs)


def test_an_unreduced_out_sharding_beside_auto_axes_is_refused(
    custom_call_backend, rng
):
    mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(EXPLICIT, AUTO))
    with jax.set_mesh(mesh):
        lhs = jax.device_put(integers(rng, 8, 12), P(None, "x"))
        rhs = jax.device_put(integers(rng, 12, 16), P("x"))
        with pytest.raises(NotImplementedError, match="mesh without Auto axes"):
            jax_npu.matmul(lhs, rhs, out_sharding=P(None, None, unreduced={"x"}))
