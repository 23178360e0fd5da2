"""Products on virtual NPUs whose designs are not the one that jax_npu chooses."""

import json

import pytest

import jax_npu

pytestmark = pytest.mark.skipif(
    not jax_npu.backends()["sim"].available, reason="sim cannot run here"
)

# A process loads one design, so each has its own. The check and the self-test are on.
PROGRAM = """
import functools
from jax_npu.runtime import designs
from xdna.gemm.array import GemmArray
designs.gemm_array = functools.cache(lambda device: GemmArray(device, *{tile}, **{how}))

import jax_npu, json, numpy as np
from jax_npu.lowering import plans

asked, product_plan = [], plans.product_plan
def recorded(*arguments):
    asked.append(arguments[5:])
    return product_plan(*arguments)
plans.product_plan = recorded

rng = np.random.default_rng(0)
def operands(lhs, rhs):
    sizes = dict(m=70, k=150, n=300, b=2)
    for term in (lhs, rhs):
        yield rng.integers(-8, 9, [sizes[c] for c in term]).astype(np.float32)

for subscripts in {contractions}:
    terms = subscripts.split("->")[0].split(",")
    lhs, rhs = operands(*terms)
    out = jax_npu.einsum(subscripts, lhs, rhs, backend="sim")
    np.testing.assert_array_equal(out, np.einsum(subscripts, lhs, rhs))

lhs, rhs = (rng.standard_normal(s).astype(np.float32) for s in ((70, 90), (90, 40)))
exact = lhs.astype(np.float64) @ rhs
out = jax_npu.matmul(lhs, rhs, precision="highest", backend="sim")
np.testing.assert_allclose(out, exact, atol=2e-5)

events = jax_npu.npu_events()
orders = [one for one in asked if one]  # the self-test has none
print(json.dumps([orders, events["checks"], events["mismatches"]]))
"""
# The orders in which the operands lie.
CONTRACTIONS = {
    "mk,kn->mn": ["mk", "kn"],
    "km,kn->mn": ["km", "kn"],
    "mk,nk->mn": ["mk", "nk"],
    "km,nk->mn": ["km", "nk"],
    "nk,km->nm": ["mk", "kn"],
    "kn,mk->nm": ["km", "nk"],
    "bmk,bkn->bmn": ["mk", "kn"],
    "kbm,nbk->nbm": ["km", "nk"],
}
TILES = {"images": "tiles", "parts": 2}


@pytest.mark.parametrize(
    ("device", "tile", "how"),
    [
        ("npu1", (64, 64, 64), TILES | {"resident": "a"}),
        ("npu1", (32, 32, 32), {"images": "tiles"}),
        ("npu2", (64, 64, 96), TILES),
    ],
)
def test_products_in_every_order_are_right(run_python, device, tile, how):
    program = PROGRAM.format(tile=tile, how=how, contractions=list(CONTRACTIONS))
    done = run_python(
        program, JAX_NPU_DEVICE=device, JAX_NPU_CHECK="always", JAX_NPU_STRICT="1"
    )
    assert done.returncode == 0, done.stderr
    orders, checks, mismatches = json.loads(done.stdout)
    assert orders[: len(CONTRACTIONS)] == list(CONTRACTIONS.values())
    assert checks > len(CONTRACTIONS)
    assert mismatches == 0
