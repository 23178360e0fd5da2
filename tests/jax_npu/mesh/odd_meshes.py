"""Unusual meshes, compared with lax; run by test_partitioning.py with eight devices."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import P, lax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, reshard

import jax_npu

AUTO, EXPLICIT = AxisType.Auto, AxisType.Explicit
DEVICES = np.array(jax.devices())
LHS, RHS = (8, 12), (12, 16)


def integers(rng, *shape):
    return rng.integers(-3, 4, shape).astype(np.float32)


def assert_as_lax(run):
    """Compares jax_npu, and jax.numpy offloaded, with jax.numpy, which may refuse."""
    try:
        stock = jax.tree.leaves(run(jnp))
    except ValueError as refusal:
        ours = (jax_npu, jax_npu.backend("host"))
        for module, on_host in (ours, (jnp, jax_npu.offload(backend="host"))):
            with on_host, pytest.raises(type(refusal), match=re.escape(str(refusal))):
                run(module)
        return
    with jax_npu.backend("host"):
        ours = jax.tree.leaves(run(jax_npu))
    with jax_npu.offload(backend="host"):
        offloaded = jax.tree.leaves(run(jnp))
    assert len(ours) == len(stock) > 0
    for a, b, expected in zip(ours, offloaded, stock):
        assert jax.typeof(a) == jax.typeof(b) == jax.typeof(expected)
        np.testing.assert_array_equal(a, expected)
        np.testing.assert_array_equal(b, expected)


def value_and_gradients(product, *operands):
    """The product, and the gradients of its squares' sum."""
    loss = lambda a, b: (product(a, b) ** 2).sum()  # noqa: E731
    return jax.jit(product)(*operands), jax.jit(jax.grad(loss, (0, 1)))(*operands)


@pytest.mark.parametrize("order", [range(7, -1, -1), [2, 0, 3, 1, 7, 5, 4, 6]], ids=str)
@pytest.mark.parametrize("kind", [AUTO, EXPLICIT])
def test_devices_in_any_order_of_a_mesh_compute_as_lax(rng, order, kind):
    mesh = Mesh(DEVICES[list(order)].reshape(2, 4), ("x", "y"), axis_types=(kind,) * 2)
    options = {"out_sharding": P("x", None)} if kind == EXPLICIT else {}
    with jax.set_mesh(mesh):
        lhs = jax.device_put(integers(rng, *LHS), P("x", "y"))
        rhs = jax.device_put(integers(rng, *RHS), P("y"))
        assert_as_lax(
            lambda module: value_and_gradients(
                lambda a, b: module.matmul(a, b, **options), lhs, rhs
            )
        )


@pytest.mark.parametrize("shape", [(5, 7, 3), (3, 9, 11), (7, 5, 2)], ids=str)
@pytest.mark.parametrize(
    ("lhs_parts", "rhs_parts"),
    [
        (P("x", "y"), P("y", "x")),
        (P("y", "x"), P("x", "y")),
        (P(("x", "y")), P(None, ("y", "x"))),
        (P(None, ("y", "x")), P(("y", "x"))),
    ],
    ids=str,
)
def test_sizes_that_neither_of_two_axes_divides_are_right(
    rng, shape, lhs_parts, rhs_parts
):
    mesh = jax.make_mesh((2, 4), ("x", "y"), axis_types=(AUTO,) * 2)
    operands = integers(rng, *shape[:2]), integers(rng, *shape[1:])

    def run(module):
        def product(lhs, rhs):
            lhs = lax.with_sharding_constraint(lhs, NamedSharding(mesh, lhs_parts))
            rhs = lax.with_sharding_constraint(rhs, NamedSharding(mesh, rhs_parts))
            return module.matmul(jnp.exp2(lhs), jnp.exp2(rhs))  # padding becomes 1

        return jax.jit(product)(*operands)

    assert_as_lax(run)


@pytest.mark.parametrize("kind", [AUTO, EXPLICIT])
def test_a_gradient_is_lowered_without_devices(kind):
    mesh = AbstractMesh((2, 4), ("x", "y"), axis_types=(kind,) * 2)
    lhs, rhs = (
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, parts))
        for shape, parts in ((LHS, P("x")), (RHS, P(None, "y")))
    )
    loss = lambda a, b: (jax_npu.matmul(a, b, backend="host") ** 2).sum()  # noqa: E731
    with jax.sharding.use_abstract_mesh(mesh):
        traced = jax.jit(jax.grad(loss, (0, 1))).trace(lhs, rhs)
        text = traced.lower(lowering_platforms=("cpu",)).as_text()
    assert text.count("@xdna_gemm_host") == 3  # the product, and two gradients


def mesh_of(num, shape, names):
    devices = DEVICES[:num].reshape(shape)
    return Mesh(devices, tuple(names), axis_types=(AUTO,) * len(names))


LINE, GRID = mesh_of(8, (8,), "z"), mesh_of(8, (2, 4), "xy")
TALL, CUBE = mesh_of(8, (4, 2), "uv"), mesh_of(8, (2, 2, 2), "ijk")
WIDE_SIX, TALL_SIX = mesh_of(6, (2, 3), "ab"), mesh_of(6, (3, 2), "cd")


@pytest.mark.parametrize(
    "shardings",
    [
        [(LINE, P(None, "z")), (TALL, P("u", "v")), (GRID, P("x", "y"))],
        [(GRID, P("x", "y")), (TALL, P("v", "u")), (LINE, P("z"))],
        [(GRID, P(("y", "x"))), (TALL, P("v")), (GRID, P(None, "x"))],
        [(CUBE, P("j", ("k", "i"))), (TALL, P(("u", "v"))), (GRID, P("y"))],
        # No axes of devices make both a 2 x 3 and a 3 x 2 mesh.
        [(WIDE_SIX, P("a", "b")), (TALL_SIX, P("c", "d")), (TALL_SIX, P("d"))],
        [(WIDE_SIX, P(None, "b")), (TALL_SIX, P("c")), (WIDE_SIX, P("a"))],
        [(TALL_SIX, P(("d", "c"))), (WIDE_SIX, P("b", "a")), (TALL_SIX, P("c"))],
    ],
    ids=str,
)
def test_operands_and_result_may_lie_on_different_meshes(rng, shardings):
    lhs, rhs, out = (NamedSharding(*sharding) for sharding in shardings)
    operands = integers(rng, 24, 24), integers(rng, 24, 24)

    def run(module):
        def product(a, b):
            a = lax.with_sharding_constraint(a, lhs)
            b = lax.with_sharding_constraint(b, rhs)
            return lax.with_sharding_constraint(module.matmul(a, b), out)

        return jax.jit(product)(*operands)

    assert_as_lax(run)


@pytest.mark.parametrize("jit", [True, False], ids=["jit", "eager"])
@pytest.mark.parametrize("parts", [P("x"), P("y", "x"), P(None, ("x", "y"))], ids=str)
def test_an_operand_may_lie_on_no_mesh(rng, jit, parts):
    lhs, rhs = integers(rng, *LHS), integers(rng, 12, 8)
    rhs = jax.device_put(rhs, NamedSharding(GRID, parts)) if parts[0] != "x" else rhs
    run = jax.jit if jit else lambda function: function
    assert_as_lax(lambda module: run(module.matmul)(jnp.asarray(lhs), rhs))


def test_a_product_of_constants_is_split_as_its_result(rng):
    lhs, rhs = integers(rng, *LHS), integers(rng, *RHS)
    split = NamedSharding(GRID, P("x", "y"))

    def run(module):
        product = lambda: module.matmul(jnp.asarray(lhs), jnp.asarray(rhs))  # noqa: E731
        return jax.jit(product, out_shardings=split)()

    assert_as_lax(run)


@pytest.mark.parametrize("names", ["xy", "yx"])
@pytest.mark.parametrize("manual", "xy")
@pytest.mark.parametrize("kind", [AUTO, EXPLICIT])
def test_a_sum_over_the_free_axis_of_a_shard_map_is_right(rng, names, manual, kind):
    mesh = jax.make_mesh((2, 4), tuple(names), axis_types=(kind,) * 2)
    free = "y" if manual == "x" else "x"
    options = {"out_sharding": P()} if kind == EXPLICIT else {}
    split = reshard if kind == EXPLICIT else lax.with_sharding_constraint

    def run(module):
        def local(lhs, rhs):
            lhs, rhs = split(lhs, P(None, free)), split(rhs, P(free))
            return module.matmul(lhs + 1, rhs, **options)

        mapped = jax.shard_map(
            local, in_specs=(P(manual), P()), out_specs=P(manual), axis_names={manual}
        )
        return value_and_gradients(mapped, *operands)

    with jax.set_mesh(mesh):
        operands = jax.device_put(integers(rng, *LHS), P(manual)), integers(rng, *RHS)
        assert_as_lax(run)


@pytest.mark.parametrize("manual", ["x", "y", "z", "xy", "xz"])
def test_a_sum_over_the_free_axes_of_three_is_right(rng, manual):
    mesh = jax.make_mesh((2, 2, 2), ("x", "y", "z"), axis_types=(AUTO,) * 3)
    free = tuple(axis for axis in "xyz" if axis not in manual)
    mapped_parts = P(tuple(manual))

    def run(module):
        def local(lhs, rhs):
            lhs = lax.with_sharding_constraint(lhs, P(None, free))
            rhs = lax.with_sharding_constraint(rhs, P(free))
            return module.matmul(lhs + 1, rhs)

        specs = {"in_specs": (mapped_parts, P()), "out_specs": mapped_parts}
        mapped = jax.shard_map(local, axis_names=set(manual), **specs)
        return value_and_gradients(mapped, *operands)

    operands = integers(rng, *LHS), integers(rng, *RHS)
    with jax.set_mesh(mesh):
        assert_as_lax(run)


@pytest.mark.parametrize(
    "kinds", [(AUTO, AUTO), (AUTO, EXPLICIT), (EXPLICIT, AUTO), (EXPLICIT, EXPLICIT)]
)
@pytest.mark.parametrize("axes", ["xy", "yx"])
def test_a_product_in_a_shard_map_in_a_shard_map_is_right(rng, kinds, axes):
    mesh = jax.make_mesh((2, 4), ("x", "y"), axis_types=kinds)
    outer, inner = axes
    is_typed = dict(zip("xy", kinds))[inner] == EXPLICIT
    split = reshard if is_typed else lambda x, _: x

    def run(module):
        nested = jax.shard_map(
            lambda lhs, rhs: lax.psum(module.matmul(lhs, rhs), inner),
            in_specs=(P(None, inner), P(inner)),
            out_specs=P(),
            axis_names={inner},
        )
        mapped = jax.shard_map(
            lambda lhs, rhs: nested(
                split(lhs + 1, P(None, inner)), split(rhs, P(inner))
            ),
            in_specs=(P(outer), P()),
            out_specs=P(outer),
            axis_names={outer},
        )
        # Its gradient is refused by jax 0.10.2, for lax too.
        return jax.jit(mapped)(*operands)

    with jax.set_mesh(mesh):
        operands = jax.device_put(integers(rng, *LHS), P(outer)), integers(rng, *RHS)
        assert_as_lax(run)


@pytest.mark.parametrize("is_mapped", [True, False], ids=["shard_map", "jit"])
def test_a_program_of_symbolic_size_is_exported_and_called(rng, is_mapped):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AUTO,))
    parts = NamedSharding(mesh, P("x")), NamedSharding(mesh, P())
    operands = jax.device_put((integers(rng, *LHS), integers(rng, *RHS)), parts)
    (size,) = jax.export.symbolic_shape("b")
    shapes = (
        jax.ShapeDtypeStruct((8 * size, LHS[1]), jnp.float32),
        jax.ShapeDtypeStruct(RHS, jnp.float32),
    )

    def run(module):
        # jax 0.12 itself crashes for an addition of symbolic size in a shard_map.
        product = module.matmul
        if is_mapped:
            specs = {"in_specs": (P("x"), P()), "out_specs": P("x")}
            product = jax.shard_map(product, mesh=mesh, **specs)
        exported = jax.export.export(jax.jit(product, in_shardings=parts))(*shapes)
        return jax.jit(exported.call)(*operands)

    assert_as_lax(run)


@pytest.mark.parametrize("kind", [AUTO, EXPLICIT])
def test_the_product_of_a_reducer_stays_with_xla(kind):
    mesh = jax.make_mesh((8,), ("x",), axis_types=(kind,))
    x = jax.device_put(jnp.arange(1.0, 9.0), NamedSharding(mesh, P("x")))

    product = jax_npu.offload(lambda x: lax.reduce(x, 1.0, jnp.dot, (0,)))
    with jax_npu.backend("host"):
        assert jax.jit(product)(x) == math.factorial(8)


def test_vmap_with_spmd_axis_name_is_right_beside_another_axis(rng):
    mesh = jax.make_mesh((2, 4), ("x", "y"), axis_types=(AUTO,) * 2)
    operands = integers(rng, 2, *LHS), integers(rng, *RHS)

    def run(module):
        def product(lhs, rhs):
            return module.matmul(lax.with_sharding_constraint(lhs, P("y")), rhs)

        mapped = jax.vmap(product, (0, None), spmd_axis_name="x")
        return value_and_gradients(mapped, *operands)

    with jax.set_mesh(mesh):
        assert_as_lax(run)


@pytest.fixture
def explicit_mesh():
    mesh = jax.make_mesh((2, 4), ("x", "y"), axis_types=(EXPLICIT,) * 2)
    with jax.set_mesh(mesh):
        yield mesh


@pytest.mark.parametrize(
    ("contracted", "out"),
    [
        ("x", P("y", None, unreduced={"x"})),
        ("y", P(None, None, unreduced={"y"})),
        (("x", "y"), P(None, None, unreduced={"x", "y"})),
    ],
    ids=str,
)
def test_partial_sums_and_their_gradients_are_those_of_lax(
    rng, explicit_mesh, contracted, out
):
    lhs = jax.device_put(integers(rng, 8, 16), P(None, contracted))
    rhs = jax.device_put(integers(rng, 16, 8), P(contracted))

    def run(module):
        def product(lhs, rhs):
            partial_sums = module.matmul(lhs, rhs, out_sharding=out)
            return reshard(partial_sums, P("x"))

        return value_and_gradients(product, lhs, rhs)

    assert_as_lax(run)


@pytest.mark.parametrize("parts", [P("x"), P("x", "y")], ids=str)
def test_the_gradient_of_a_reduced_weight_is_that_of_lax(rng, explicit_mesh, parts):
    x = jax.device_put(integers(rng, 8, 16), parts)
    split = parts[1] if len(parts) > 1 else None
    weight = jax.device_put(integers(rng, 16, 8), P(split, None, reduced={"x"}))

    def run(module):
        def loss(weight):
            return (module.matmul(x, weight, out_sharding=P("x", None)) ** 2).sum()

        return reshard(jax.jit(jax.grad(loss))(weight), P())

    assert_as_lax(run)


def test_fsdp_in_a_shard_map_is_that_of_lax(rng, explicit_mesh):
    x, weight = (
        jax.device_put(integers(rng, *shape), P("x")) for shape in ((8, 16), (16, 8))
    )

    def run(module):
        def local(x, weight):
            whole = lax.all_gather(weight, "x", axis=0, tiled=True, to="reduced")
            return module.matmul(x, whole)

        mapped = jax.shard_map(local, in_specs=P("x"), out_specs=P("x"))
        return value_and_gradients(mapped, x, weight)

    assert_as_lax(run)
