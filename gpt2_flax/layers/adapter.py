"""Low-rank adapters of linear layers: which layers have one, and what it computes.

LoRA (Hu et al., 2021): y = x W + s (x A) B + b, with rank-r matrices A and B.
DoRA (Liu et al., 2024): y = (m / |W + s A B|) (x W + s (x A) B) + b, with a length m
for each column, and the columns' present lengths |.|, through which no gradient flows.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from gpt2_flax.errors import InputError

# The linear layers of a block, as paths of our modules.
LINEAR_LAYERS = ("attention.qkv", "attention.proj", "mlp.fc", "mlp.proj")
LORA_A, LORA_B, LENGTHS = "lora_a", "lora_b", "lengths"  # names of their parameters
ADAPTER_LEAVES = (LORA_A, LORA_B, LENGTHS)


@dataclass(frozen=True)
class AdapterConfig:
    rank: int
    alpha: float
    targets: tuple[str, ...] = ("attention.qkv",)  # of LINEAR_LAYERS; PEFT's default
    dora: bool = False
    by_root_of_rank: bool = False  # scale alpha / sqrt(rank), PEFT's use_rslora

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"--lora-rank must be at least 1, got {self.rank}.")
        if not 0 < self.alpha < float("inf"):
            raise InputError(f"--lora-alpha must be above 0, got {self.alpha}.")
        if unknown := set(self.targets) - set(LINEAR_LAYERS) or not self.targets:
            raise InputError(
                f"an adapter's layers must be some of {', '.join(LINEAR_LAYERS)}, got "
                f"{unknown}."
            )

    @property
    def scale(self) -> float:
        """s of the formulas."""
        return self.alpha / (self.rank**0.5 if self.by_root_of_rank else self.rank)


def add_parameters(
    layer: Any, adapter: AdapterConfig, inner: tuple[int, ...], outer: int
) -> None:
    """Gives a layer with a kernel (*inner, outer) the adapter's parameters, all zero.

    `adapters.initial` has the values that training begins with.
    """
    layer.adapter_scale = adapter.scale
    layer.lora_a = nnx.Param(jnp.zeros((*inner, adapter.rank)))
    layer.lora_b = nnx.Param(jnp.zeros((adapter.rank, outer)))
    if adapter.dora:
        layer.lengths = nnx.Param(jnp.zeros(outer))


def apply_adapted(layer: Any, x: Array, axes: tuple[int, ...]) -> Array:
    """The layer with its adapter on x, whose dimensions `axes` are contracted."""
    dot_general = partial(
        layer.dot_general, preferred_element_type=layer.preferred_element_type
    )
    kernel, a, b = layer.kernel[...], layer.lora_a[...], layer.lora_b[...]
    contracted = (axes, tuple(range(len(axes))))
    y = dot_general(x, kernel, (contracted, ((), ())))  # x W
    low = dot_general(x, a, (contracted, ((), ())))  # x A: (..., r)
    y = y + layer.adapter_scale * dot_general(low, b, last_with_first(low))
    if hasattr(layer, LENGTHS):
        present = column_lengths(kernel, a, b, layer.adapter_scale, layer.dot_general)
        y = y * (layer.lengths[...] / jax.lax.stop_gradient(present))
    out: Array = y.astype(layer.preferred_element_type) + layer.bias[...]
    return out


def column_lengths(
    kernel: Array, a: Array, b: Array, scale: float, dot_general: Any
) -> Array:
    """|W + s A B| of each column: (..., N) to (N,), without a gradient."""
    kernel, a, b = map(jax.lax.stop_gradient, (kernel, a, b))
    product = dot_general(
        a, b, last_with_first(a), preferred_element_type=jnp.float32
    )  # (..., r) x (r, N) -> (..., N)
    adapted = (kernel + scale * product).reshape(-1, kernel.shape[-1])
    return jnp.sqrt((adapted**2).sum(axis=0))


def last_with_first(lhs: Array) -> Any:
    return (((lhs.ndim - 1,), (0,)), ((), ()))
