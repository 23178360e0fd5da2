"""Traffic of training steps; run by test_partitioning.py with eight devices."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu

from .traffic import collectives, sent_bytes, summary
from .training_steps import (
    KINDS,
    SIZES,
    STEPS,
    arrays,
    make_mesh,
    mlp,
    train_step,
)

# Relative to the norm of an array: each of up to eight products in a row rounds its
# operands to bf16, with a relative error of up to 2^-9.
BF16_TOLERANCE = 8 * 2.0**-9


def compiled_steps(step, mesh, operands):
    """The compiled step of stock jax, of jax_npu's einsum, and offloaded."""
    steps = {
        "stock": train_step(jnp.einsum, step, mesh),
        "ours": train_step(jax_npu.einsum, step, mesh),
        "offloaded": jax_npu.offload(train_step(jnp.einsum, step, mesh)),
    }
    return {
        name: jax.jit(function).lower(*operands).compile()
        for name, function in steps.items()
    }


def sends_less(name, kind):
    """Whether products of a step are split otherwise than XLA's, to send less."""
    if "FSDP" in name and kind == "auto":
        # A device gets its share of a weight's gradient alone (reduce-scatter), where
        # XLA:CPU sums all of it and cuts. The types of Explicit axes ask for all of it.
        return True
    # Activations keep their split over tokens or are exchanged for that of hidden ones
    # (all-to-all), and the smaller weights are gathered.
    return name == "mlp, sequence and tensor parallel"


def largest_gather(found):
    """Elements of the largest array that a device gathers from others."""
    shapes = (
        s for c in found if c.kind in ("all-gather", "all-to-all") for s in c.shapes
    )
    return max(map(math.prod, shapes), default=0)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize(
    ("kind", "weights"), [("auto", "few"), ("explicit", "few"), ("auto", "many")]
)
def test_a_step_sends_no_more_than_stock_and_computes_the_same(
    rng, name, kind, weights
):
    step = STEPS[name]
    mesh = make_mesh(step, KINDS[kind])
    with jax.set_mesh(mesh), jax_npu.backend("host"):
        operands = arrays(rng, step, SIZES[weights], mesh)
        compiled = compiled_steps(step, mesh, operands)
        found = {n: collectives(c, mesh.size) for n, c in compiled.items()}
        results = {n: jax.tree.leaves(c(*operands)) for n, c in compiled.items()}
    stock = found["stock"]
    for ours in ("ours", "offloaded"):
        assert "xdna_gemm_host" in compiled[ours].as_text()
        if sends_less(name, kind):
            assert sent_bytes(found[ours]) < sent_bytes(stock), summary(found[ours])
        else:
            assert summary(found[ours]) == summary(stock)
        if weights == "few":  # every activation is larger than any weight
            largest_weight = max(w.size for w in operands[0].values())
            allowed = max(largest_weight, largest_gather(stock))
            assert largest_gather(found[ours]) <= allowed
        for actual, expected in zip(results[ours], results["stock"]):
            assert actual.sharding.is_equivalent_to(expected.sharding, actual.ndim)
            if (weights, step.model) == ("few", mlp):  # sums of integers
                np.testing.assert_array_equal(actual, expected)
            error = np.linalg.norm(np.subtract(actual, expected))
            assert error <= BF16_TOLERANCE * np.linalg.norm(expected)
