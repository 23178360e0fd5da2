"""The custom call of one array: its bits, its bytes, jax's transformations of it."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jax_npu

from .trees import MASK, numpy_step, random_tree

ARGUMENTS = {"rate": 1e-2, "b1": 0.9, "b2": 0.95, "eps": 1e-8, "eps_root": 1e-6}

# Errors of XLA's own f32 operations, which it fuses.
XLA_ERROR = 1e-6


def optimizer(rate, **arguments):
    return jax_npu.adamw(rate, **arguments, weight_decay=0.1, mask=MASK)


def optaxs(rate, **arguments):
    return optax.adamw(rate, **arguments, weight_decay=0.1, mask=MASK)


def test_every_instruction_set_gives_numpys_bits(isa, rng):
    ours = optimizer(**ARGUMENTS)
    params = random_tree(rng)
    state, apply = ours.init(params), jax.jit(ours.apply)
    decays = jax.tree.leaves(MASK)
    expected = [(np.asarray(p), *zeros(p)) for p in jax.tree.leaves(params)]
    for step in (1, 2, 3):
        grads = random_tree(rng, scale=10.0 ** (1 - step))
        params, state = apply(grads, state, params)
        expected = [
            numpy_step(*arrays, step, **ARGUMENTS, decay=0.1 * is_decayed)
            for is_decayed, *arrays in zip(
                decays, expected, map(np.asarray, jax.tree.leaves(grads))
            )
        ]
        actual = zip(*map(jax.tree.leaves, (params, state[0].mu, state[0].nu)))
        jax.tree.map(np.testing.assert_array_equal, list(actual), expected)


def zeros(like):
    return np.zeros(like.shape, np.float32), np.zeros(like.shape, np.float32)


def test_a_step_is_seven_passes_and_one_less_where_no_parameter_is_read(rng):
    params, grads = random_tree(rng), random_tree(rng)
    ours = optimizer(**ARGUMENTS)
    leaves = zip(*map(jax.tree.leaves, (MASK, params)))
    sizes = [(decays, p.size) for decays, p in leaves]
    for function, passes in ((ours.apply, (7, 7)), (ours.update, (6, 7))):
        before = jax_npu.counters()
        jax.block_until_ready(jax.jit(function)(grads, ours.init(params), params))
        counted = jax_npu.counters() - before
        expected = sum(4 * passes[decays] * size for decays, size in sizes)
        assert counted.optimizer_bytes == expected
        assert counted.optimizer_ns > 0


def copies(program):
    """Copies of matrices, other than those that XLA fuses with an operation."""
    entry = program.as_text().partition("\nENTRY ")[2]
    return re.findall(r"= f32\[300,300\]\S* copy\(", entry)


def test_what_is_donated_is_written_in_place_without_a_copy():
    params = [jnp.ones((300, 300)), jnp.ones((300, 300))]
    ours = jax_npu.adamw(1e-2, max_norm=1.0)

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params, state, grads):
        return *ours.apply(grads, state, params), grads

    program = step.lower(params, ours.init(params), params).compile()
    assert copies(program) == []
    assert program.memory_analysis().temp_size_in_bytes < 300 * 300


@pytest.mark.parametrize("applies", [True, False])
def test_what_is_not_donated_stays(applies, rng):
    ours = jax_npu.adamw(1e-2)
    params, grads = random_tree(rng), random_tree(rng)
    arguments = grads, ours.init(params), params
    before = jax.tree.map(np.array, arguments)
    jax.block_until_ready(jax.jit(ours.apply if applies else ours.update)(*arguments))
    jax.tree.map(np.testing.assert_array_equal, arguments, before)


def test_an_update_takes_the_memory_of_its_gradient(rng):
    ours = jax_npu.adamw(1e-2)
    params = jnp.ones((300, 300))

    def step(params, state, x):
        grads = jnp.sin(x)
        updates, state = ours.update(grads, state, params)
        return params + updates, state

    jitted = jax.jit(step, donate_argnums=(0, 1))
    program = jitted.lower(params, ours.init(params), params).compile()
    assert copies(program) == []
    assert program.memory_analysis().temp_size_in_bytes < 1.1 * params.nbytes


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_becomes_what_it_becomes_in_optax(bad, rng):
    params, grads = random_tree(rng), random_tree(rng)
    grads["odd"] = grads["odd"].at[3, 2].set(bad)
    params["block"]["bias"] = params["block"]["bias"].at[7].set(bad)  # does not decay
    ours, theirs = optimizer(**ARGUMENTS), optaxs(**ARGUMENTS)
    actual = jax.jit(ours.update)(grads, ours.init(params), params)
    expected = jax.jit(theirs.update)(grads, theirs.init(params), params)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        np.testing.assert_allclose(x, y, rtol=XLA_ERROR, atol=XLA_ERROR)


def test_vmap_is_a_step_of_each(rng):
    ours, theirs = optimizer(**ARGUMENTS), optaxs(**ARGUMENTS)
    trees = [
        jax.tree.map(lambda *each: jnp.stack(each), *(random_tree(rng) for _ in "abc"))
        for _ in "pg"
    ]

    def step(one):
        return lambda grads, params: one.update(grads, one.init(params), params)

    actual, expected = (jax.jit(jax.vmap(step(one)))(*trees) for one in (ours, theirs))
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        np.testing.assert_allclose(x, y, rtol=XLA_ERROR, atol=XLA_ERROR)


@pytest.mark.parametrize("derivative", [jax.jacfwd, jax.jacrev])
def test_derivatives_are_optaxs(derivative, rng):
    params, grads = (jnp.asarray(rng.standard_normal(5), jnp.float32) for _ in range(2))

    def stepped(one):
        def of(params, grads):
            updates, _ = one.update(grads, one.init(params), params)
            return params + updates

        return derivative(of, argnums=(0, 1))(params, grads)

    arguments = {"learning_rate": 1e-1, "eps_root": 1e-6, "weight_decay": 0.1}
    for x, y in zip(
        *(stepped(make(**arguments)) for make in (jax_npu.adamw, optax.adamw))
    ):
        np.testing.assert_allclose(x, y, rtol=XLA_ERROR, atol=XLA_ERROR)


def test_an_exported_step_runs(rng):
    params, grads = random_tree(rng), random_tree(rng)
    ours = optimizer(**ARGUMENTS)
    leaves, tree = jax.tree.flatten((grads, ours.init(params), params))
    # Leaves only: jax.export does not know the classes of optax's state.
    step = jax.jit(lambda *x: jax.tree.leaves(ours.apply(*tree.unflatten(x))))
    exported = jax.export.export(step)(*leaves)
    jax.tree.map(np.testing.assert_array_equal, exported.call(*leaves), step(*leaves))


ON_DEVICES = """
import jax, jax.numpy as jnp, numpy as np, jax_npu
from jax import P

rng = np.random.default_rng(0)
params, grads = (jnp.asarray(rng.standard_normal((8, 6)), jnp.float32) for _ in "pg")
ours, clipped = jax_npu.adamw(1e-2), jax_npu.adamw(1e-2, max_norm=1.0)
mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
specs = lambda tree: jax.tree.map(lambda a: P("x") if a.ndim else P(), tree)
put = lambda tree: jax.device_put(
    tree, jax.tree.map(lambda spec: jax.NamedSharding(mesh, spec), specs(tree))
)
def assert_same(function, one):
    arguments = grads, one.init(params), params
    expected = one.apply(*arguments)
    before = jax_npu.counters()
    actual = jax.block_until_ready(function(*put(arguments)))
    print((jax_npu.counters() - before).optimizer_bytes)
    for x, y in zip(*map(jax.tree.leaves, (actual, expected))):
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-6)

with jax.set_mesh(mesh):
    assert_same(jax.jit(clipped.apply), clipped)
    split = specs((grads, ours.init(params), params))
    mapped = jax.shard_map(ours.apply, in_specs=split, out_specs=split[:0:-1])
    assert_same(jax.jit(mapped), ours)
print(ours.left_to_optax(put({"w": params})))
"""


def test_on_several_devices_it_is_optaxs_but_inside_shard_map_a_call(run_python):
    done = run_python(ON_DEVICES, XLA_FLAGS="--xla_force_host_platform_device_count=4")
    assert done.returncode == 0, done.stderr
    split, mapped, reasons = done.stdout.splitlines()
    assert (int(split), int(mapped)) == (0, 7 * 4 * 8 * 6)
    assert reasons == "{\"['w']\": 'a program is of several devices'}"
    assert "left to optax where a program is of several devices" in done.stderr
