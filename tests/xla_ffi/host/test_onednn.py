"""The host GEMM against another bf16 GEMM: oneDNN's, which PyTorch computes with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu

torch = pytest.importorskip("torch", reason="PyTorch has oneDNN inside")

SHAPES = [(1, 768, 50), (6, 100, 33), (64, 64, 64), (129, 515, 200), (300, 2050, 70)]


@pytest.fixture(autouse=True)
def onednn():
    assert torch.backends.mkldnn.is_available()


@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
@pytest.mark.parametrize("orders", ["mk,kn", "mk,nk", "km,kn", "km,nk"])
def test_products_of_bf16_are_those_of_onednn(rng, isa, orders, m, k, n):
    """Sums are f32 in both, in another order, and then rounded to bf16."""
    sizes = {"m": m, "k": k, "n": n}
    lhs, rhs = (
        jnp.asarray(rng.standard_normal([sizes[c] for c in term]), jnp.bfloat16)
        for term in orders.split(",")
    )
    with jax_npu.backend("host"):
        product = jax.jit(lambda *xs: jax_npu.einsum(f"{orders}->mn", *xs))
        ours = np.asarray(product(lhs, rhs), np.float32)
    theirs = torch.einsum(f"{orders}->mn", *map(to_torch, (lhs, rhs))).float().numpy()

    mass = np.einsum(f"{orders}->mn", *(abs(np.asarray(x, float)) for x in (lhs, rhs)))
    one_bf16_step = 2.0**-7 * np.maximum(abs(ours), abs(theirs))
    np.testing.assert_array_less(
        abs(ours - theirs), one_bf16_step + k * 2.0**-23 * mass + 1e-30
    )


def to_torch(array):
    return torch.from_numpy(np.asarray(array, np.float32)).bfloat16()
