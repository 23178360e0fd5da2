"""Programs of other libraries train offloaded as they do on lax, with no edit."""

import functools

import numpy as np
import pytest

import jax_npu

from . import libraries

NUM_STEPS = 8
# Errors of a step's loss and of the first: products of bf16 operands, and what
# training makes of their errors in a few steps.
LOSS_TOLERANCE, FIRST_LOSS_TOLERANCE = 0.02, 1e-4
MIN_OFFLOADED = 0.99  # of the FLOPs of all products


@functools.cache
def on_lax(make):
    """(a library's program, its losses on lax), which are the same for any backend."""
    program = make()
    return program, program.losses(NUM_STEPS)


@pytest.mark.parametrize("make", libraries.PROGRAMS, ids=lambda make: make.__name__)
def test_a_program_of_another_library_trains_offloaded(custom_call_backend, make):
    program, expected = on_lax(make)
    before = jax_npu.counters().calls
    with jax_npu.offload():
        losses = program.losses(NUM_STEPS)
        explanation = jax_npu.explain(program.step, program.state)
    assert jax_npu.counters().calls > before
    assert explanation.offloaded > MIN_OFFLOADED
    np.testing.assert_allclose(
        losses,
        expected,
        rtol=LOSS_TOLERANCE,
        atol=FIRST_LOSS_TOLERANCE * expected[0],
    )
    assert losses[-1] < losses[0]


def test_nuts_finds_the_coefficients_with_highest_precision(custom_call_backend):
    before = jax_npu.counters().calls
    with jax_npu.offload(precision="highest"):
        found, truth = libraries.nuts_coefficients(num_samples=30)
    assert jax_npu.counters().calls > before
    np.testing.assert_allclose(found, truth, atol=0.01)
