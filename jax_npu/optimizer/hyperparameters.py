"""The arguments of AdamW: optax's transformation from them, and a step's scalars."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jax_npu.optimizer.adamw_call import Scalars
from jax_npu.optimizer.clipping import clip_by_global_norm, clip_factor


@dataclass(frozen=True)
class Hyperparameters:
    """As `jax_npu.adamw` takes them."""

    learning_rate: Any
    b1: Any
    b2: Any
    eps: Any
    eps_root: Any
    mu_dtype: Any
    weight_decay: Any
    mask: Any
    nesterov: bool
    max_norm: Any

    def stock(self) -> optax.GradientTransformation:
        """The same of optax's own transformations."""
        optimizer = optax.adamw(
            self.learning_rate,
            self.b1,
            self.b2,
            self.eps,
            self.eps_root,
            self.mu_dtype,
            self.weight_decay,
            self.mask,
            nesterov=self.nesterov,
        )
        if self.max_norm is None:
            return optimizer
        return optax.chain(clip_by_global_norm(self.max_norm), optimizer)

    def reason(self) -> str | None:
        """Why optax updates all arrays, or None."""
        if self.nesterov:
            return "nesterov is set"
        if self.mu_dtype is not None and jnp.dtype(self.mu_dtype) != jnp.float32:
            return f"mu_dtype is {jnp.dtype(self.mu_dtype)}, not float32"
        if callable(self.weight_decay):
            return "weight_decay is a schedule"
        if self.learning_rate is None:
            return "learning_rate is None"
        return None

    def inner(self, state: Any) -> Any:
        """The three parts of optax.adamw's state: moments, decay and learning rate."""
        return state if self.max_norm is None else state[1]

    def outer(self, state: Any, inner: Any) -> Any:
        """`state` with other three parts."""
        return inner if self.max_norm is None else (state[0], inner)

    def decays(self, grads: Any) -> list[bool]:
        """Whether the parameter of each gradient decays."""
        # optax adds no decay that is a constant 0, which infinity would make NaN.
        if isinstance(self.weight_decay, int | float) and self.weight_decay == 0:
            return [False] * len(jax.tree.leaves(grads))
        if self.mask is None:
            return [True] * len(jax.tree.leaves(grads))
        mask = self.mask(grads) if callable(self.mask) else self.mask
        whole = jax.tree.map(lambda m, g: jax.tree.map(lambda _: m, g), mask, grads)
        return [bool(decays) for decays in jax.tree.leaves(whole)]

    def scalars(self, grads: Any, adam: Any, rate: Any) -> Scalars:
        """Those of the next step.

        Args:
          adam, rate: the parts of optax's state that count steps.
        """
        clip = 1.0 if self.max_norm is None else clip_factor(self.max_norm, grads)
        step = optax.safe_increment(adam.count)  # 1, 2, ...
        learning_rate = self.learning_rate
        if callable(learning_rate):
            learning_rate = learning_rate(rate.count)
        return Scalars(
            clip=clip,
            b1=self.b1,
            b1_complement=1 - self.b1,
            b2=self.b2,
            b2_complement=1 - self.b2,
            b1_correction=1 - self.b1**step,
            b2_correction=1 - self.b2**step,
            eps_root=self.eps_root,
            eps=self.eps,
            weight_decay=self.weight_decay,
            step_size=-1 * learning_rate,
        )
