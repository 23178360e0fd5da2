"""`jax_npu.adamw` against optax's: steps, state, and what is left to optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jax_npu

from .trees import MASK, random_tree

STEPS = 50

# Relative error of one f32 rounding. XLA fuses a product with the sum that follows, so
# a moment or a parameter differs by a few of them in a step, and in fifty by more; a
# small difference of large moments is compared with the array's largest value.
ROUNDING = 2.0**-24
MANY_ROUNDINGS = 64 * ROUNDING

RATE = optax.warmup_cosine_decay_schedule(1e-4, 3e-2, 5, STEPS)
CASES = {
    "defaults": {"learning_rate": 1e-2, "mu_dtype": jnp.float32},
    "clipped": {
        "learning_rate": RATE,
        "b1": 0.8,
        "b2": 0.95,
        "weight_decay": 0.1,
        "mask": MASK,
        "max_norm": 3.0,
    },
    "prefix": {
        "learning_rate": RATE,
        "weight_decay": 0.1,
        "mask": {**dict.fromkeys(MASK, True), "block": False},
    },
    "function": {
        "learning_rate": 1e-2,
        "eps": 1e-3,
        "eps_root": 1e-4,
        "weight_decay": 0.1,
        "mask": lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree),
        "max_norm": 1e9,
    },
    "no decay": {"learning_rate": 1e-2, "weight_decay": 0.0, "max_norm": 3.0},
}


def optaxs(max_norm=None, **arguments):
    adamw = optax.adamw(**arguments)
    if max_norm is None:
        return adamw
    return optax.chain(optax.clip_by_global_norm(max_norm), adamw)


def stepper(optimizer, in_one_pass=True):
    """The jitted step: parameters, state and gradients to parameters and state."""

    @jax.jit
    def step(params, state, grads):
        if in_one_pass:
            return jax_npu.apply_gradients(optimizer, grads, state, params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return step


def train(optimizer, rng, **options):
    params = random_tree(rng)
    state = optimizer.init(params)
    step = stepper(optimizer, **options)
    for _ in range(STEPS):
        grads = random_tree(rng, scale=10 ** rng.uniform(-4, 1))
        params, state = step(params, state, grads)
    return params, state


def assert_close(actual, expected, error):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        bound = error * np.abs(y).max(initial=0)
        np.testing.assert_allclose(x, y, rtol=error, atol=bound)


@pytest.fixture
def counted():
    """Bytes of updates in this test."""
    before = jax_npu.counters()
    return lambda: (jax_npu.counters() - before).optimizer_bytes


@pytest.mark.parametrize("arguments", CASES.values(), ids=CASES)
def test_fifty_steps_are_optaxs_but_for_roundings(arguments, counted):
    actual = train(jax_npu.adamw(**arguments), np.random.default_rng(1))
    assert counted() > 0
    expected = train(optaxs(**arguments), np.random.default_rng(1))
    assert_close(actual, expected, MANY_ROUNDINGS)


def test_updates_are_what_apply_adds():
    ours = jax_npu.adamw(**CASES["clipped"])
    at_once, in_two = (
        train(ours, np.random.default_rng(1), in_one_pass=in_one_pass)
        for in_one_pass in (True, False)
    )
    jax.tree.map(np.testing.assert_array_equal, at_once, in_two)


@pytest.mark.parametrize("case", ["defaults", "clipped"])
def test_either_goes_on_with_the_others_state(case, rng):
    params, grads = random_tree(rng), random_tree(rng)
    pair = [make(**CASES[case]) for make in (jax_npu.adamw, optaxs)]
    first = [stepper(one)(params, one.init(params), grads) for one in pair]
    crossed = [stepper(one)(*reached, grads) for one, reached in zip(pair, first[::-1])]
    assert_close(*crossed, MANY_ROUNDINGS)


def test_a_step_outside_of_jit_is_the_same(rng):
    params, grads = random_tree(rng), random_tree(rng)
    ours = jax_npu.adamw(1e-2)
    actual = ours.apply(grads, ours.init(params), params)
    expected = stepper(ours)(params, ours.init(params), grads)
    assert_close(actual, expected, 4 * ROUNDING)


def test_hyperparameters_may_be_injected(rng, counted):
    params, grads = random_tree(rng), random_tree(rng)
    results = [
        stepper(one, in_one_pass=False)(params, one.init(params), grads)
        for one in (
            optax.inject_hyperparams(make)(1e-2, weight_decay=0.1)
            for make in (jax_npu.adamw, optax.adamw)
        )
    ]
    assert counted() > 0
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=MANY_ROUNDINGS), *results
    )


LEFT = {
    "nesterov": ({"nesterov": True}, "nesterov is set"),
    "mu_dtype": ({"mu_dtype": jnp.bfloat16}, "mu_dtype is bfloat16, not float32"),
    "decay": ({"weight_decay": RATE}, "weight_decay is a schedule"),
}


@pytest.mark.parametrize(("arguments", "reason"), LEFT.values(), ids=LEFT)
def test_what_no_array_can_is_optaxs_and_says_why(
    arguments, reason, rng, counted, capsys
):
    params, grads = random_tree(rng), random_tree(rng)
    ours = jax_npu.adamw(1e-2, **arguments)
    actual = stepper(ours)(params, ours.init(params), grads)
    theirs = optax.adamw(1e-2, **arguments)
    expected = stepper(theirs)(params, theirs.init(params), grads)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)
    assert counted() == 0
    assert set(ours.left_to_optax(params).values()) == {reason}
    assert f"adamw is left to optax where {reason}" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_an_array_of_another_type_is_optaxs_and_the_others_are_not(
    dtype, rng, counted, capsys
):
    params, grads = random_tree(rng), random_tree(rng)
    for tree in (params, grads):
        tree["odd"] = tree["odd"].astype(dtype)
    ours, theirs = jax_npu.adamw(1e-2, max_norm=1.0), optaxs(1.0, learning_rate=1e-2)
    actual = stepper(ours)(params, ours.init(params), grads)
    expected = stepper(theirs)(params, theirs.init(params), grads)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        assert x.dtype == y.dtype
        error = MANY_ROUNDINGS if x.dtype == jnp.float32 else 2 * jnp.finfo(dtype).eps
        np.testing.assert_allclose(
            *(np.asarray(z, np.float32) for z in (x, y)), rtol=error, atol=error
        )
    sizes = [p.size for p in jax.tree.leaves(params) if p.dtype == jnp.float32]
    assert counted() == 7 * 4 * sum(sizes)
    name = jnp.dtype(dtype).name
    reason = f"an array is of {name}, not float32"
    assert ours.left_to_optax(params) == {"['odd']": reason}
    assert reason in capsys.readouterr().err


def test_without_a_reason_nothing_is_left_to_optax(rng):
    assert jax_npu.adamw(1e-2).left_to_optax(random_tree(rng)) == {}


def test_missing_parameters_are_the_error_of_optax(rng):
    grads = random_tree(rng)
    ours = jax_npu.adamw(1e-2)
    with pytest.raises(ValueError, match="params"):
        ours.update(grads, ours.init(grads))
