"""Functions between an MLP's products, by the names that transformers gives them.

They are those of transformers' ACT2FN (5.24) without weights of their own.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def tanh_gelu(x: Array) -> Array:
    """GELU by its tanh formula, the one that GPT-2 was trained with."""
    return jax.nn.gelu(x, approximate=True)


def gelu(x: Array) -> Array:
    """x Phi(x), with the normal distribution's Phi."""
    return jax.nn.gelu(x, approximate=False)


def laplace(x: Array) -> Array:
    """Source: Ma et al., Mega, 2022, equation 14: mu = sqrt(1/2), sigma = sqrt(1/4pi).

    transformers rounds both to six digits, and so does this.
    """
    mu, sigma = 0.707107, 0.282095
    return 0.5 * (1.0 + jax.lax.erf((x - mu) / (sigma * math.sqrt(2.0))))


ACTIVATION_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "gelu_new": tanh_gelu,
    "gelu_pytorch_tanh": tanh_gelu,
    "gelu_python_tanh": tanh_gelu,
    "gelu_fast": tanh_gelu,
    "gelu_accurate": tanh_gelu,
    "gelu": gelu,
    "gelu_python": gelu,
    "gelu_10": lambda x: jnp.clip(gelu(x), -10, 10),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "hardswish": jax.nn.hard_swish,
    "laplace": laplace,
    "leaky_relu": jax.nn.leaky_relu,  # slope 0.01 below zero in both libraries
    "linear": lambda x: x,
    "mish": jax.nn.mish,
    "relu": jax.nn.relu,
    "relu2": lambda x: jax.nn.relu(x) ** 2,
    "relu6": jax.nn.relu6,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
    "sqrtsoftplus": lambda x: jnp.sqrt(jax.nn.softplus(x)),
    "tanh": jnp.tanh,
}
