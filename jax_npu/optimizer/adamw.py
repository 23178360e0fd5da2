"""`optax.adamw`, whose update of an array is one pass over memory on a CPU.

optax returns updates, and the caller adds them to the parameters. `AdamW` can do that
too, but its `apply` writes the new parameters at once: it reads parameter, gradient and
both moments and writes all but the gradient, 7 passes over memory of the parameters'
size. XLA:CPU takes 10 for optax's, since a loop of its writes one result.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike, DTypeLike

from jax_npu.optimizer.adamw_call import Updated, update_array
from jax_npu.optimizer.hyperparameters import Hyperparameters
from jax_npu.optimizer.left_to_optax import (
    reason_of_arrays,
    reason_of_place,
    say_once,
)

Tree = Any  # of arrays: parameters, or what has their structure
ScalarOrSchedule = ArrayLike | Callable[[Any], Any]


class AdamW(optax.GradientTransformationExtraArgs):  # type: ignore[misc]
    """An optax transformation that can also apply what it computes."""

    hyperparameters: Hyperparameters

    def apply(
        self, grads: Tree, state: optax.OptState, params: Tree
    ) -> tuple[Tree, optax.OptState]:
        """The new parameters and state: `update` and `optax.apply_updates` in one pass.

        Where both are donated to `jax.jit`, they are written in place. The jitted
        function has to return them in the order of its arguments: jax pairs arrays of
        one shape in order, and XLA copies each that it has to write elsewhere.
        """
        new, state, _ = _Step(self.hyperparameters, grads, state, params, True).take()
        return new, state

    def apply_with_images(
        self, grads: Tree, state: optax.OptState, params: Tree, images: Tree
    ) -> tuple[Tree, optax.OptState, Tree]:
        """What `apply` returns, and the parameters' bf16 images, of the same pass.

        Products of the next step read them by `jax_npu.with_image`. They are neither
        part of optax's state nor of a checkpoint: after a load, or when parameters are
        replaced, the caller makes them again, as `param.astype(jnp.bfloat16)`.

        Args:
          images: those of `params`, of which only the structure matters: a parameter
            without an image has None. Donated to `jax.jit`, they are overwritten.
        """
        return _Step(self.hyperparameters, grads, state, params, True, images).take()

    def stock(self) -> optax.GradientTransformation:
        """The same of optax's own transformations, with the same state."""
        return self.hyperparameters.stock()

    def left_to_optax(self, params: Tree) -> dict[str, str]:
        """The arrays that optax's own operations update, each with the reason.

        Keys are those of `jax.tree_util.keystr`. Gradients are taken to be of the
        parameters' types. stderr says every reason once, too, when a step is traced.
        """
        of_all = self.hyperparameters.reason()
        reasons = {
            jax.tree_util.keystr(path): of_all
            or reason_of_arrays(param)
            or reason_of_place(param)
            for path, param in jax.tree.leaves_with_path(params)
        }
        return {path: reason for path, reason in reasons.items() if reason}


def adamw(
    learning_rate: ScalarOrSchedule,
    b1: ArrayLike = 0.9,
    b2: ArrayLike = 0.999,
    eps: ArrayLike = 1e-8,
    eps_root: ArrayLike = 0.0,
    mu_dtype: DTypeLike | None = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: Any = None,
    *,
    nesterov: bool = False,
    max_norm: ArrayLike | None = None,
) -> AdamW:
    """`optax.adamw` with its arguments, after clipping where there is a `max_norm`.

    The state is that of `optax.adamw`, or of a chain of `optax.clip_by_global_norm` and
    it, so that either goes on with the other's checkpoints. Results differ from optax's
    by roundings: XLA fuses a product with the sum that follows it.

    What the pass cannot do is left to optax's operations, see `AdamW.left_to_optax`:
    arrays that are not float32 or that lie on several devices, other platforms than
    CPUs, Nesterov's moments, `mu_dtype` other than float32, and a schedule of the
    weight decay. `vmap` and derivatives take optax's formula, too.

    Args:
      max_norm: norm of all gradients together to which longer ones are shortened.
    """
    chosen = Hyperparameters(
        learning_rate=learning_rate,
        b1=b1,
        b2=b2,
        eps=eps,
        eps_root=eps_root,
        mu_dtype=mu_dtype,
        weight_decay=weight_decay,
        mask=mask,
        nesterov=nesterov,
        max_norm=max_norm,
    )

    def update(
        grads: Tree, state: optax.OptState, params: Tree = None, **_: Any
    ) -> tuple[Tree, optax.OptState]:
        updates, state, _ = _Step(chosen, grads, state, params, False).take()
        return updates, state

    optimizer = AdamW(chosen.stock().init, update)
    optimizer.hyperparameters = chosen
    return optimizer


def apply_gradients(
    optimizer: optax.GradientTransformation,
    grads: Tree,
    state: optax.OptState,
    params: Tree,
) -> tuple[Tree, optax.OptState]:
    """The new parameters and state; in one pass if the optimizer is `jax_npu.adamw`."""
    if isinstance(optimizer, AdamW):
        return optimizer.apply(grads, state, params)
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state


def _rounded(param: Any, wanted: bool) -> jax.Array | None:
    return jnp.asarray(param).astype(jnp.bfloat16) if wanted else None


class _Step(NamedTuple):
    """One step, to the new parameters if it `applies`, else to their updates."""

    chosen: Hyperparameters
    grads: Tree
    state: optax.OptState
    params: Tree
    applies: bool
    images: Tree = None

    def take(self) -> tuple[Tree, optax.OptState, Tree]:
        """The new parameters, or the updates, the new state and images."""
        chosen = self.chosen
        if self.params is None:
            return *self._of_optax(), None  # raises
        tree: Any = jax.tree.structure(self.grads)
        reason = chosen.reason()
        if jax.tree.structure(self.params) != tree:
            reason = "parameters and gradients are of different structures"
        if reason:
            say_once(reason)
            out, state = self._of_optax()
            images = map(_rounded, tree.flatten_up_to(out), self._wanted(tree))
            return out, state, tree.unflatten(images)

        adam, decay, rate = chosen.inner(self.state)
        updated = self._of_arrays()
        out, mu, nu, images = (
            tree.unflatten(each[i] for each in updated) for i in range(4)
        )
        adam = adam._replace(count=optax.safe_increment(adam.count), mu=mu, nu=nu)
        if callable(chosen.learning_rate):
            rate = rate._replace(count=optax.safe_increment(rate.count))
        return out, chosen.outer(self.state, (adam, decay, rate)), images

    def _of_arrays(self) -> list[Updated]:
        """Results, moments and image of every array; what the pass lacks is optax's."""
        chosen, grads = self.chosen, self.grads
        adam, _, rate = chosen.inner(self.state)
        tree: Any = jax.tree.structure(grads)
        flatten = tree.flatten_up_to
        arrays = list(zip(*map(flatten, (self.params, grads, adam.mu, adam.nu))))
        reasons = [reason_of_arrays(*each) for each in arrays]
        for reason in filter(None, reasons):
            say_once(reason)
        stock: list[Any] = [None] * len(arrays)
        if any(reasons):  # XLA leaves out of it what is not taken
            out, new_state = self._of_optax()
            new, *_ = chosen.inner(new_state)
            images = map(_rounded, flatten(out), self._wanted(tree))
            stock = list(zip(*map(flatten, (out, new.mu, new.nu)), images))
        scalars = chosen.scalars(grads, adam, rate).stacked()
        return [
            theirs
            if reason
            else update_array(
                scalars, *each, decays=decays, applies=self.applies, image=image
            )
            for reason, theirs, decays, image, each in zip(
                reasons, stock, chosen.decays(grads), self._wanted(tree), arrays
            )
        ]

    def _wanted(self, tree: Any) -> list[bool]:
        """Whether each array of the tree is to have an image."""
        if self.images is None:
            return [False] * int(tree.num_leaves)
        return [image is not None for image in tree.flatten_up_to(self.images)]

    def _of_optax(self) -> tuple[Tree, optax.OptState]:
        optimizer, params = self.chosen.stock(), self.params
        updates, state = optimizer.update(self.grads, self.state, params)
        return optax.apply_updates(params, updates) if self.applies else updates, state
