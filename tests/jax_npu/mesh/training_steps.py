"""Training steps of an MLP and of attention, split over devices in twelve ways.

A step is written once, for any `einsum`. On a mesh of Explicit axes `place` is
`jax.sharding.reshard` and products take an `out_sharding`; on one of Auto axes both are
sharding constraints.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax import P, lax
from jax.sharding import AxisType, NamedSharding, reshard

# Letters of sizes: b sequences of t tokens, c channels, f hidden ones, h heads of d.
SIZES = {
    "few": {"b": 16, "t": 32, "c": 16, "f": 32, "h": 8, "d": 4},  # weights to tokens
    "many": {"b": 8, "t": 8, "c": 64, "f": 128, "h": 8, "d": 16},
}


@dataclass(frozen=True)
class Step:
    """How a training step is split.

    Attributes:
      mesh: names and sizes of its axes.
      model: `mlp` or `attention`.
      weights: the split of each weight.
      x: the split of the batch (b, t, c), and of the result.
      inner: that of what lies between the products: hidden (b, t, f), or the heads of
        queries (b, t, h, d).
      keys: that of keys and values (b, t, h, d), if it is another.
      gathered: whether an Explicit mesh gathers weights before products, as FSDP does.
    """

    mesh: dict[str, int]
    model: Callable[..., Any]
    weights: dict[str, P]
    x: P
    inner: P
    keys: P | None = None
    gathered: dict[str, P] = field(default_factory=dict)


class Ops:
    """`einsum` and `place` on one mesh."""

    def __init__(self, einsum, mesh):
        self._einsum = einsum
        self.mesh = mesh
        self.is_explicit = bool(mesh.abstract_mesh.explicit_axes)

    def place(self, x, parts):
        if self.is_explicit:
            return reshard(x, parts)
        return lax.with_sharding_constraint(x, NamedSharding(self.mesh, parts))

    def product(self, subscripts, lhs, rhs, parts):
        if self.is_explicit:
            return self._einsum(subscripts, lhs, rhs, out_sharding=parts)
        return self.place(self._einsum(subscripts, lhs, rhs), parts)


def mlp(ops, step, weights, x):
    """relu(x up) down: (b, t, c) to (b, t, c)."""
    hidden = ops.product("btc,cf->btf", x, weights["up"], step.inner)
    hidden = jax.nn.relu(hidden)
    return ops.product("btf,fc->btc", hidden, weights["down"], step.x)


def attention(ops, step, weights, x):
    """Heads that attend to all tokens: (b, t, c) to (b, t, c)."""
    b, t, h, d = (*step.inner, *[None] * 4)[:4]
    q, k, v = (
        ops.product("btc,chd->bthd", x, weights[name], step.inner)
        for name in ("query", "key", "value")
    )
    if step.keys is not None:
        k, v = ops.place(k, step.keys), ops.place(v, step.keys)
    scores = ops.product("bthd,bshd->bhts", q, k, P(b, h, t, None))
    attended = jax.nn.softmax(scores / k.shape[-1] ** 0.5)
    context = ops.product("bhts,bshd->bthd", attended, v, P(b, t, h, d))
    return ops.product("bthd,hdc->btc", context, weights["out"], step.x)


TERMS = {
    mlp: {"up": "cf", "down": "fc"},
    attention: {"query": "chd", "key": "chd", "value": "chd", "out": "hdc"},
}


def train_step(einsum, step, mesh):
    """The jitted function of weights and x to loss and gradients."""
    ops = Ops(einsum, mesh)

    def loss(weights, x):
        if ops.is_explicit:
            weights = {
                name: reshard(w, step.gathered[name]) if name in step.gathered else w
                for name, w in weights.items()
            }
        return (step.model(ops, step, weights, x) ** 2).sum() / 2

    out = None
    if not ops.is_explicit:  # gradients lie as the weights do
        out = None, {n: NamedSharding(mesh, p) for n, p in step.weights.items()}
    return jax.jit(jax.value_and_grad(loss), out_shardings=out)


def arrays(rng, step, sizes, mesh):
    """Weights and x: small integers, so that most sums are exact in bf16 too."""

    def integers(labels, parts):
        shape = [sizes[c] for c in labels]
        x = jnp.asarray(rng.integers(-1, 2, shape), jnp.float32)
        return jax.device_put(x, NamedSharding(mesh, parts))

    terms = TERMS[step.model]
    weights = {name: integers(terms[name], p) for name, p in step.weights.items()}
    return weights, integers("btc", step.x)


def make_mesh(step, kind):
    sizes, names = tuple(step.mesh.values()), tuple(step.mesh)
    return jax.make_mesh(sizes, names, axis_types=(kind,) * len(names))


KINDS = {"auto": AxisType.Auto, "explicit": AxisType.Explicit}


def _qkv(parts):
    return {"query": parts, "key": parts, "value": parts}


_LINE, _GRID = {"d": 8}, {"d": 2, "t": 4}
_WHOLE = {"up": P(), "down": P()}
_WHOLE_HEADS = {**_qkv(P()), "out": P()}
_COLUMN_ROW = {"up": P(None, "t"), "down": P("t")}

STEPS = {
    "mlp, data parallel": Step(_LINE, mlp, _WHOLE, P("d"), P("d")),
    "mlp, FSDP by rows": Step(
        *(_LINE, mlp, {"up": P("d"), "down": P("d")}, P("d"), P("d")), gathered=_WHOLE
    ),
    "mlp, FSDP by columns": Step(
        *(_LINE, mlp, {"up": P(None, "d"), "down": P(None, "d")}, P("d"), P("d")),
        gathered=_WHOLE,
    ),
    "mlp, tensor parallel": Step({"t": 8}, mlp, _COLUMN_ROW, P(), P(None, None, "t")),
    "mlp, sequence and tensor parallel": Step(
        {"t": 8}, mlp, _COLUMN_ROW, P(None, "t"), P(None, None, "t")
    ),
    "mlp, data and tensor parallel": Step(
        _GRID, mlp, _COLUMN_ROW, P("d"), P("d", None, "t")
    ),
    "mlp, FSDP and tensor parallel": Step(
        *(_GRID, mlp, {"up": P("d", "t"), "down": P("t", "d")}),
        *(P("d"), P("d", None, "t")),
        gathered=_COLUMN_ROW,
    ),
    "attention, data parallel": Step(_LINE, attention, _WHOLE_HEADS, P("d"), P("d")),
    "attention, FSDP": Step(
        *(_LINE, attention, {**_qkv(P("d")), "out": P(None, None, "d")}),
        *(P("d"), P("d")),
        gathered=_WHOLE_HEADS,
    ),
    "attention, tensor parallel over heads": Step(
        *({"t": 8}, attention, {**_qkv(P(None, "t")), "out": P("t")}),
        *(P(), P(None, None, "t")),
    ),
    "attention, sequence parallel": Step(
        *(_LINE, attention, _WHOLE_HEADS, P(None, "d"), P(None, "d")), keys=P()
    ),
    "attention, FSDP and tensor parallel": Step(
        *(_GRID, attention, {**_qkv(P("d", "t")), "out": P("t", None, "d")}),
        *(P("d"), P("d", None, "t")),
        gathered={**_qkv(P(None, "t")), "out": P("t")},
    ),
}
