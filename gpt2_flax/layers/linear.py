"""Linear layers of a block, which may have an adapter beside their matrix."""

from collections.abc import Callable
from typing import Any

from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from gpt2_flax.layers.adapter import AdapterConfig, add_parameters, apply_adapted

DotGeneral = Callable[..., Array]  # with lax.dot_general's signature
INIT_STDDEV = 0.02  # GPT-2 paper, section 2.3, and OpenAI's released code


class Linear(nnx.Linear):
    """x W + b over the last dimension of x."""

    def __init__(
        self,
        inner: int,
        outer: int,
        dot_general: DotGeneral,
        rngs: nnx.Rngs,
        dtype: DTypeLike,
        init: nnx.Initializer,
        adapter: AdapterConfig | None,
    ) -> None:
        super().__init__(
            inner,
            outer,
            kernel_init=init,
            dot_general=dot_general,
            promote_dtype=as_they_are,
            preferred_element_type=dtype,
            rngs=rngs,
        )
        if adapter:
            add_parameters(self, adapter, (inner,), outer)

    def __call__(self, x: Array) -> Array:  # type: ignore[override]
        if hasattr(self, "lora_a"):
            return apply_adapted(self, x, (x.ndim - 1,))
        return super().__call__(x)


class HeadsLinear(nnx.LinearGeneral):
    """x W + b over the heads and their channels: (..., H, T, D) to (..., T, C)."""

    def __init__(
        self,
        inner: tuple[int, int],
        outer: int,
        dot_general: DotGeneral,
        rngs: nnx.Rngs,
        dtype: DTypeLike,
        init: nnx.Initializer,
        adapter: AdapterConfig | None,
    ) -> None:
        super().__init__(
            inner,
            outer,
            axis=(-3, -1),  # the (H, D) of (..., H, T, D)
            kernel_init=init,
            dot_general=dot_general,
            promote_dtype=as_they_are,
            preferred_element_type=dtype,
            rngs=rngs,
        )
        if adapter:
            add_parameters(self, adapter, inner, outer)

    def __call__(self, x: Array) -> Array:  # type: ignore[override]
        if hasattr(self, "lora_a"):
            return apply_adapted(self, x, (x.ndim - 3, x.ndim - 1))
        return super().__call__(x)


def as_they_are(operands: Any, /, *, dtype: Any = None, inexact: bool = True) -> Any:
    """Replaces flax's promote_dtype, which would convert bf16 activations to f32.

    The products here take two operands of different types.
    """
    return operands


def residual_init(num_layers: int) -> nnx.Initializer:
    """Normal(0, 0.02 / sqrt(n)), where n layers add to the residual stream.

    Each block has two of them. Source: GPT-2 paper, section 2.3.
    """
    return nnx.initializers.normal(INIT_STDDEV / (2 * num_layers) ** 0.5)
