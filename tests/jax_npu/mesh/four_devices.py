"""Sharded products; run by test_partitioning.py in a process with four devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import P, lax
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import AxisType, NamedSharding

import jax_npu

ROWS_COLUMNS = (((1,), (0,)), ((), ()))
BATCHED = (((2,), (1,)), ((0,), (0,)))
COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute")


def test_there_are_four_devices():
    assert jax.device_count() == 4


@pytest.fixture
def mesh():
    return jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))


@pytest.fixture
def square_mesh():
    return jax.make_mesh((2, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)


def integers(rng, *shape):
    """Small random integers, whose sums are exact in any order, on any devices."""
    return rng.integers(-3, 4, shape).astype(np.float32)


def put(x, mesh, *parts):
    return jax.device_put(x, NamedSharding(mesh, P(*parts)))


def collectives(compiled):
    hlo = compiled.as_text()
    return {name: n for name in COLLECTIVES if (n := hlo.count(f" {name}("))}


def check(product, lhs, rhs, expected, **allowed):
    compiled = jax.jit(product).lower(lhs, rhs).compile()
    assert collectives(compiled) == {k.replace("_", "-"): n for k, n in allowed.items()}
    np.testing.assert_array_equal(compiled(lhs, rhs), expected)
    return compiled(lhs, rhs)


def dot(lhs, rhs):
    return jax_npu.dot_general(lhs, rhs, BATCHED)


@pytest.mark.parametrize(
    ("lhs_parts", "rhs_parts", "out_parts"),
    [
        (("x",), ("x",), ("x",)),  # batch
        ((None, "x"), (), (None, "x")),  # m
        ((), (None, None, "x"), (None, None, "x")),  # n
    ],
    ids=["batch", "m", "n"],
)
def test_a_split_of_batch_m_or_n_needs_no_communication(
    backend, rng, mesh, lhs_parts, rhs_parts, out_parts
):
    lhs, rhs = integers(rng, 4, 8, 12), integers(rng, 4, 12, 16)
    out = check(dot, put(lhs, mesh, *lhs_parts), put(rhs, mesh, *rhs_parts), lhs @ rhs)
    assert out.sharding.is_equivalent_to(NamedSharding(mesh, P(*out_parts)), 3)


def test_a_split_of_m_and_n_over_two_axes_needs_no_communication(
    backend, rng, square_mesh
):
    lhs, rhs = integers(rng, 2, 8, 12), integers(rng, 2, 12, 16)
    lhs_split = put(lhs, square_mesh, None, "x", None)
    check(dot, lhs_split, put(rhs, square_mesh, None, None, "y"), lhs @ rhs)


def test_the_persistent_cache_tells_products_of_another_precision_apart(
    custom_call_backend, rng, mesh, tmp_path
):
    settings = {
        "jax_compilation_cache_dir": str(tmp_path),
        "jax_persistent_cache_min_compile_time_secs": 0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    lhs, rhs = (rng.standard_normal((16, 16), np.float32) for _ in range(2))
    exact = lhs.astype(np.float64) @ rhs
    compilation_cache.reset_cache()
    for name, value in settings.items():
        jax.config.update(name, value)
    try:
        errors = {
            precision: np.abs(
                jax.jit(lambda a, b: jax_npu.matmul(a, b, precision=precision))(  # noqa: B023
                    put(lhs, mesh, None, "x"), put(rhs, mesh, "x")
                )
                - exact
            ).max()
            for precision in ("default", "highest")
        }
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
    assert len(list(tmp_path.glob("jit__lambda-*-cache"))) == 2
    assert errors["highest"] < 1e-4 < errors["default"]


def test_a_split_of_k_is_one_all_reduce(backend, rng, mesh):
    lhs, rhs = integers(rng, 4, 8, 12), integers(rng, 4, 12, 16)
    lhs_split = put(lhs, mesh, None, None, "x")
    check(dot, lhs_split, put(rhs, mesh, None, "x"), lhs @ rhs, all_reduce=1)


def test_a_split_of_k_over_two_axes_is_right(backend, rng, square_mesh):
    lhs, rhs = integers(rng, 2, 8, 12), integers(rng, 2, 12, 16)
    lhs_split = put(lhs, square_mesh, None, None, ("x", "y"))
    rhs_split = put(rhs, square_mesh, None, ("x", "y"))
    check(dot, lhs_split, rhs_split, lhs @ rhs, all_reduce=1)


def test_a_split_of_k_and_of_batch_at_once_is_right(backend, rng, square_mesh):
    lhs, rhs = integers(rng, 2, 8, 12), integers(rng, 2, 12, 16)
    lhs_split = put(lhs, square_mesh, "x", None, "y")
    rhs_split = put(rhs, square_mesh, "x", "y")
    check(dot, lhs_split, rhs_split, lhs @ rhs, all_reduce=1)


def test_a_split_of_k_sums_bf16_results_in_f32(
    custom_call_backend, rng, mesh, assert_contraction
):
    lhs = jnp.asarray(rng.standard_normal((8, 64)), "bfloat16")
    rhs = jnp.asarray(rng.standard_normal((64, 16)), "bfloat16")

    @jax.jit
    def product(lhs, rhs):
        return jax_npu.dot_general(lhs, rhs, ROWS_COLUMNS)

    out = product(put(lhs, mesh, None, "x"), put(rhs, mesh, "x"))
    assert out.dtype == jnp.bfloat16
    assert_contraction(out, "mk,kn->mn", lhs, rhs, custom_call_backend)


@pytest.mark.parametrize("shape", [(6, 7, 5), (1, 3, 2)])
def test_sizes_that_the_devices_do_not_divide_are_right(backend, rng, mesh, shape):
    m, k, n = shape
    lhs, rhs = integers(rng, m, k), integers(rng, k, n)

    @jax.jit
    def product(lhs, rhs):
        lhs = lax.with_sharding_constraint(lhs, NamedSharding(mesh, P("x")))
        return jax_npu.dot_general(lhs, rhs, ROWS_COLUMNS)

    np.testing.assert_array_equal(product(lhs, rhs), lhs @ rhs)


def uneven(module, mesh, lhs_parts, rhs_parts, before=lambda x: x, **options):
    """A product whose operands are split, then changed, so that padding is not 0."""

    def product(lhs, rhs):
        lhs = lax.with_sharding_constraint(lhs, NamedSharding(mesh, P(*lhs_parts)))
        rhs = lax.with_sharding_constraint(rhs, NamedSharding(mesh, P(*rhs_parts)))
        return module.matmul(before(lhs), before(rhs), **options)

    return product


@pytest.mark.parametrize(
    "k", [30, 10, 5, 3, 1]
)  # from 5 on, some devices get no element
def test_an_uneven_split_of_k_sums_no_padding(backend, rng, mesh, k):
    lhs, rhs = integers(rng, 6, k), integers(rng, k, 8)
    product = uneven(jax_npu, mesh, (None, "x"), ("x",), lambda x: x + 1)
    np.testing.assert_array_equal(jax.jit(product)(lhs, rhs), (lhs + 1) @ (rhs + 1))


@pytest.mark.parametrize("split", [("x", None), (None, "x"), ("x", "x")], ids=str)
def test_an_uneven_split_of_k_in_one_operand_is_right(backend, rng, mesh, split):
    lhs, rhs = integers(rng, 6, 30), integers(rng, 30, 8)
    product = uneven(jax_npu, mesh, (None, split[0]), (split[1],), lambda x: x + 1)
    np.testing.assert_array_equal(jax.jit(product)(lhs, rhs), (lhs + 1) @ (rhs + 1))


@pytest.mark.parametrize("before", [lambda x: 1 / x, jnp.log2], ids=["inf", "nan"])
def test_padding_that_is_not_finite_stays_out_of_a_sum(backend, rng, mesh, before):
    lhs, rhs = (
        2.0 ** rng.integers(-2, 3, s).astype(np.float32) for s in ((6, 7), (7, 8))
    )
    product = uneven(jax_npu, mesh, (None, "x"), ("x",), before)
    expected = np.asarray(before(lhs)) @ np.asarray(before(rhs))
    np.testing.assert_array_equal(jax.jit(product)(lhs, rhs), expected)


def test_nan_within_the_shape_stays_in_an_uneven_sum(backend, rng, mesh):
    lhs, rhs = integers(rng, 6, 30), integers(rng, 30, 8)
    lhs[2, 29] = np.nan
    product = uneven(jax_npu, mesh, (None, "x"), ("x",))
    np.testing.assert_array_equal(jax.jit(product)(lhs, rhs), lhs @ rhs)


def test_a_slice_of_a_split_array_sums_nothing_that_was_cut_off(backend, rng, mesh):
    lhs, rhs = integers(rng, 32, 6), integers(rng, 32, 8)
    lhs[30:], rhs[30:] = np.nan, np.inf

    @jax.jit
    def product(lhs, rhs):
        return jax_npu.matmul(lhs[:30].T, rhs[:30])

    actual = product(put(lhs, mesh, "x"), put(rhs, mesh, "x"))
    np.testing.assert_array_equal(actual, lhs[:30].T @ rhs[:30])


@pytest.mark.parametrize("parts", [("x", "y"), ("y", "x")], ids=str)
def test_an_uneven_split_of_k_over_two_axes_is_right(backend, rng, square_mesh, parts):
    lhs, rhs = integers(rng, 6, 29), integers(rng, 29, 8)
    product = uneven(jax_npu, square_mesh, (None, parts), (parts,), jnp.exp2)
    expected = np.exp2(lhs) @ np.exp2(rhs)
    np.testing.assert_array_equal(jax.jit(product)(lhs, rhs), expected)


def test_uneven_splits_of_two_contracted_dimensions_are_right(
    backend, rng, square_mesh
):
    lhs, rhs = integers(rng, 3, 5, 7), integers(rng, 7, 3, 8)

    @jax.jit
    def product(lhs, rhs):
        split = NamedSharding(square_mesh, P("x", None, "y"))
        lhs = lax.with_sharding_constraint(lhs, split) + 1
        return jax_npu.einsum("kml,lkn->mn", lhs, rhs + 1)

    expected = np.einsum("kml,lkn->mn", lhs + 1, rhs + 1)
    np.testing.assert_array_equal(product(lhs, rhs), expected)


@pytest.mark.parametrize("options", [{}, {"precision": "highest"}], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_uneven_split_of_k_is_right_in_any_precision(
    backend, rng, mesh, dtype, options
):
    lhs, rhs = (jnp.asarray(integers(rng, *s), dtype) for s in ((6, 30), (30, 8)))
    ours, stock = (
        jax.jit(uneven(module, mesh, (None, "x"), ("x",), lambda x: x + 1, **options))
        for module in (jax_npu, jnp)
    )
    assert ours(lhs, rhs).dtype == dtype
    np.testing.assert_array_equal(ours(lhs, rhs), stock(lhs, rhs))


def test_the_gradients_of_a_short_last_batch_are_right(backend, rng, mesh):
    x, w = integers(rng, 10, 16), integers(rng, 16, 8)

    def loss(matmul, split, w, x):
        x = split(x) + 1  # the bias makes padding 1
        return ((split(matmul(x, w)) + 1) ** 2).sum()

    def gradients(*how):
        return jax.grad(functools.partial(loss, *how), (0, 1))

    rows, whole = NamedSharding(mesh, P("x")), NamedSharding(mesh, P())
    split = lambda x: lax.with_sharding_constraint(x, rows)  # noqa: E731
    ours = jax.jit(gradients(jax_npu.matmul, split), out_shardings=whole)
    expected = gradients(jnp.matmul, lambda x: x)(w, x)
    for actual, e in zip(ours(w, x), expected):
        np.testing.assert_array_equal(actual, e)


def test_an_uneven_sum_with_a_constant_of_a_loop_is_right(backend, rng, mesh):
    lhs, rhs = integers(rng, 3, 12, 30), integers(rng, 30, 16)

    @jax.jit
    def products(lhs, rhs):
        lhs = lax.with_sharding_constraint(lhs, NamedSharding(mesh, P(None, None, "x")))
        rhs = lax.with_sharding_constraint(rhs, NamedSharding(mesh, P("x"))) + 1
        return lax.map(lambda one: jax_npu.matmul(one + 1, rhs), lhs)

    np.testing.assert_array_equal(products(lhs, rhs), (lhs + 1) @ (rhs + 1))


def test_an_uneven_sum_on_devices_in_another_order_is_right(backend, rng):
    devices = np.array(jax.devices())[[2, 0, 3, 1]]
    mesh = jax.sharding.Mesh(devices, ("x",), axis_types=(AxisType.Auto,))
    lhs, rhs = integers(rng, 6, 30), integers(rng, 30, 8)
    product = uneven(jax_npu, mesh, (None, "x"), ("x",), lambda x: x + 1)
    np.testing.assert_array_equal(jax.jit(product)(lhs, rhs), (lhs + 1) @ (rhs + 1))


def test_an_even_split_of_k_has_no_mask(custom_call_backend, rng, mesh):
    lhs, rhs = integers(rng, 6, 32), integers(rng, 32, 8)
    even = jax.jit(uneven(jax_npu, mesh, (None, "x"), ("x",))).lower(lhs, rhs)
    assert " select(" not in even.compile().as_text()
    ragged = jax.jit(uneven(jax_npu, mesh, (None, "x"), ("x",)))
    ragged = ragged.lower(lhs[:, :30], rhs[:30])
    assert " select(" in ragged.compile().as_text()


def test_the_gradient_of_a_data_parallel_loss_is_right(backend, rng, mesh):
    x, w = integers(rng, 16, 8), integers(rng, 8, 12)

    def loss(matmul, w, x):
        return (matmul(x, w) ** 2).sum()

    gradient = jax.jit(jax.grad(lambda w, x: loss(jax_npu.matmul, w, x)))
    operands = put(w, mesh), put(x, mesh, "x")
    expected = jax.grad(lambda w, x: loss(jnp.matmul, w, x))(w, x)
    compiled = gradient.lower(*operands).compile()
    assert collectives(compiled) == {"all-reduce": 1}
    np.testing.assert_array_equal(compiled(*operands), expected)


def test_vmap_over_a_split_dimension_needs_no_communication(backend, rng, mesh):
    lhs, rhs = integers(rng, 4, 8, 12), integers(rng, 12, 16)
    product = jax.vmap(jax_npu.matmul, (0, None))
    check(product, put(lhs, mesh, "x"), put(rhs, mesh), lhs @ rhs)


def test_a_product_in_shard_map_is_right(backend, rng, mesh):
    lhs, rhs = integers(rng, 8, 12), integers(rng, 12, 16)

    def rows(lhs, rhs):
        return jax_npu.matmul(lhs, rhs)

    def partial_sums(lhs, rhs):
        return lax.psum(jax_npu.matmul(lhs, rhs), "x")

    for local, specs, out in (
        (rows, (P("x"), P()), P("x")),
        (partial_sums, (P(None, "x"), P("x")), P()),
    ):
        product = jax.jit(
            jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=out)
        )
        np.testing.assert_array_equal(product(lhs, rhs), lhs @ rhs)


def test_a_gradient_through_shard_map_is_right(backend, rng, mesh):
    lhs, rhs = integers(rng, 8, 12), integers(rng, 12, 16)
    product = jax.shard_map(
        lambda a, b: jax_npu.matmul(a, b),
        mesh=mesh,
        in_specs=(P("x"), P()),
        out_specs=P("x"),
    )
    actual = jax.jit(jax.grad(lambda a, b: (product(a, b) ** 2).sum(), (0, 1)))(
        lhs, rhs
    )
    expected = jax.grad(lambda a, b: ((a @ b) ** 2).sum(), (0, 1))(lhs, rhs)
    for a, e in zip(actual, expected):
        np.testing.assert_array_equal(a, e)


@pytest.fixture
def explicit_mesh():
    mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(AxisType.Explicit,) * 2)
    with jax.set_mesh(mesh):
        yield mesh


def typed(product, lhs, rhs):
    return jax.typeof(jax.jit(product)(lhs, rhs)).sharding


@pytest.mark.parametrize(
    ("lhs_parts", "rhs_parts"),
    [
        ((), ()),
        (("x",), ("x",)),
        ((None, "x"), ()),
        ((None, "x"), (None, None, "y")),
        (("x", "y"), ("x",)),
        ((), (None, None, "x")),
    ],
    ids=str,
)
def test_explicit_shardings_come_out_as_from_lax(
    backend, rng, explicit_mesh, lhs_parts, rhs_parts
):
    lhs, rhs = integers(rng, 4, 8, 12), integers(rng, 4, 12, 16)
    operands = jax.device_put(lhs, P(*lhs_parts)), jax.device_put(rhs, P(*rhs_parts))

    def stock(lhs, rhs):
        return lax.dot_general(lhs, rhs, BATCHED)

    assert typed(dot, *operands) == typed(stock, *operands)
    np.testing.assert_array_equal(jax.jit(dot)(*operands), lhs @ rhs)


@pytest.mark.parametrize("out", [P(), P("x"), P(None, "y"), P("x", "y"), P(None, "x")])
def test_out_sharding_is_that_of_lax(backend, rng, explicit_mesh, out):
    lhs, rhs = integers(rng, 8, 12), integers(rng, 12, 16)
    operands = jax.device_put(lhs, P("x")), jax.device_put(rhs, P())

    def product(dot):
        return lambda a, b: dot(a, b, ROWS_COLUMNS, out_sharding=out)

    ours, stock = product(jax_npu.dot_general), product(lax.dot_general)
    assert typed(ours, *operands) == typed(stock, *operands)
    np.testing.assert_array_equal(jax.jit(ours)(*operands), lhs @ rhs)


def test_a_contraction_of_split_k_asks_for_an_out_sharding(backend, rng, explicit_mesh):
    lhs, rhs = integers(rng, 8, 12), integers(rng, 12, 16)
    operands = jax.device_put(lhs, P(None, "x")), jax.device_put(rhs, P("x"))

    def product(dot, **options):
        return jax.jit(lambda a, b: dot(a, b, ROWS_COLUMNS, **options))

    with pytest.raises(Exception, match="out_sharding") as stock:
        product(lax.dot_general)(*operands)
    with pytest.raises(stock.type, match="out_sharding"):
        product(jax_npu.dot_general)(*operands)
    out = product(jax_npu.dot_general, out_sharding=P())(*operands)
    np.testing.assert_array_equal(out, lhs @ rhs)


def test_gradients_under_an_explicit_mesh_are_split_as_their_operands(
    backend, rng, explicit_mesh
):
    x, w = integers(rng, 8, 12), integers(rng, 12, 16)
    x_split, w_split = jax.device_put(x, P("x")), jax.device_put(w, P(None, "y"))

    def gradient(dot):
        def loss(x, w):
            return (dot(x, w, ROWS_COLUMNS, out_sharding=P("x", "y")) ** 2).sum()

        return jax.jit(jax.grad(loss, (0, 1)))

    actual = gradient(jax_npu.dot_general)(x_split, w_split)
    expected = gradient(lax.dot_general)(x_split, w_split)
    for a, e in zip(actual, expected):
        assert jax.typeof(a).sharding == jax.typeof(e).sharding
        np.testing.assert_array_equal(a, e)


@pytest.mark.parametrize("out_sharding", [None, P("x"), P("y"), P(None, "y")])
@pytest.mark.parametrize("parts", [(), ("x",)], ids=["whole", "split"])
def test_vmap_under_an_explicit_mesh_does_as_lax(
    backend, rng, explicit_mesh, parts, out_sharding
):
    lhs, rhs = integers(rng, 4, 8, 12), integers(rng, 12, 16)
    operands = jax.device_put(lhs, P(*parts)), jax.device_put(rhs, P())

    def product(dot):
        options = {"out_sharding": out_sharding}
        one = lambda a, b: dot(a, b, ROWS_COLUMNS, **options)  # noqa: E731
        return jax.jit(jax.vmap(one, (0, None)))

    ours, stock = product(jax_npu.dot_general), product(lax.dot_general)
    try:
        expected = stock(*operands)
    except Exception as error:  # lax refuses it, so jax_npu may, too
        pytest.skip(f"lax refuses: {str(error)[:80]}")
    actual = ours(*operands)
    assert jax.typeof(actual).sharding == jax.typeof(expected).sharding
    np.testing.assert_array_equal(actual, lhs @ rhs)


@pytest.mark.parametrize("split", [(True, True), (True, False), (False, True)])
def test_vmap_with_an_out_sharding_keeps_the_split_of_its_dimension(
    backend, rng, explicit_mesh, split
):
    operands = [
        jax.device_put(integers(rng, 4, 8, 8), P("x") if is_split else P())
        for is_split in split
    ]

    def product(module, dims):
        one = lambda a, b: module.matmul(a, b, out_sharding=P("y", None))  # noqa: E731
        return jax.jit(jax.vmap(one, dims))

    dims = tuple(0 if is_split else None for is_split in split)
    operands = [x if is_split else x[0] for x, is_split in zip(operands, split)]
    actual = product(jax_npu, dims)(*operands)
    expected = product(jnp, dims)(*operands)
    assert jax.typeof(actual).sharding.spec == P("x", "y", None)
    assert jax.typeof(actual).sharding == jax.typeof(expected).sharding
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("product", ["matmul", "einsum"])
def test_matmul_and_einsum_take_an_out_sharding(backend, rng, explicit_mesh, product):
    lhs, rhs = integers(rng, 8, 12), integers(rng, 12, 16)
    operands = jax.device_put(lhs, P("x")), jax.device_put(rhs, P(None, "y"))
    before = ("ij,jk->ki",) if product == "einsum" else ()
    out = P("y", "x") if before else P("x", "y")

    def run(module):
        function = getattr(module, product)
        return jax.jit(lambda a, b: function(*before, a, b, out_sharding=out))(
            *operands
        )

    ours, stock = run(jax_npu), run(jnp)
    assert jax.typeof(ours).sharding == jax.typeof(stock).sharding
    np.testing.assert_array_equal(ours, stock)
