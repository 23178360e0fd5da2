"""AdamW's update of one array, as one JAX primitive.

On one CPU device it is a custom call, which reads and writes every array once. On other
platforms, over several devices, under vmap and for derivatives it is optax's formula.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, xla
from jax.typing import ArrayLike

from jax_npu.jax_private import allow_in_exports, mesh_axes
from jax_npu.optimizer.left_to_optax import SEVERAL_DEVICES, say_once
from jax_npu.primitive.gemm import vary_alike
from jax_npu.runtime import extension

# The new parameter or its update, both moments, and the image, or None.
Updated = tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]


class Scalars(NamedTuple):
    """A step's scalars, in the order of AdamWScalars in xla_ffi/optimizer/kernels.h."""

    clip: ArrayLike  # factor of every gradient
    b1: ArrayLike
    b1_complement: ArrayLike  # 1 - b1
    b2: ArrayLike
    b2_complement: ArrayLike
    b1_correction: ArrayLike  # 1 - b1^t
    b2_correction: ArrayLike
    eps_root: ArrayLike
    eps: ArrayLike
    weight_decay: ArrayLike
    step_size: ArrayLike  # minus the learning rate

    def stacked(self) -> jax.Array:
        """As one float32 array."""
        return jnp.stack([jnp.asarray(scalar, jnp.float32) for scalar in self])


def update_array(
    scalars: jax.Array,
    param: jax.Array,
    grad: jax.Array,
    mu: jax.Array,
    nu: jax.Array,
    *,
    decays: bool,
    applies: bool,
    image: bool = False,
) -> Updated:
    """The new parameter, or what is to be added to it, the new moments, and the image.

    Args:
      scalars: stacked `Scalars`.
      param, grad, mu, nu: float32 arrays of one shape.
      decays: whether weight decay shrinks the parameter.
      applies: whether the first result is the new parameter.
      image: whether there is a fourth result, the new parameter rounded to bf16.
    """
    arrays = vary_alike(scalars, param, grad, mu, nu)
    kind = {"decays": decays, "applies": applies, "image": image}
    out, mu, nu, *images = adamw_p.bind(*arrays, **kind)
    return out, mu, nu, images[0] if image else None


def _formula(
    scalars: Any,
    param: Any,
    grad: Any,
    mu: Any,
    nu: Any,
    *,
    decays: bool,
    applies: bool,
    image: bool,
) -> tuple[Any, ...]:
    """What the custom call computes, in optax's operations."""
    s: Any = Scalars(*(scalars[i] for i in range(len(Scalars._fields))))
    grad = s.clip * grad
    mu = s.b1_complement * grad + s.b1 * mu
    nu = s.b2_complement * grad**2 + s.b2 * nu
    update = mu / s.b1_correction
    update = update / (jnp.sqrt(nu / s.b2_correction + s.eps_root) + s.eps)
    if decays:
        update = update + s.weight_decay * param
    update = s.step_size * update
    if applies:
        update = param + update
    if image:
        return update, mu, nu, update.astype(jnp.bfloat16)
    return update, mu, nu


def _abstract_eval(
    scalars: ShapedArray,
    param: ShapedArray,
    grad: ShapedArray,
    mu: ShapedArray,
    nu: ShapedArray,
    *,
    image: bool,
    **_: bool,
) -> list[ShapedArray]:
    updated: list[Any] = [array.update(weak_type=False) for array in (param, mu, nu)]
    if image:
        bf16 = jnp.dtype(jnp.bfloat16)
        updated.append(param.update(dtype=bf16, weak_type=False))
    return updated


def _lower(ctx: Any, *operands: Any, decays: bool, applies: bool, image: bool) -> Any:
    free_sizes = (size for size, is_split in mesh_axes(ctx) if not is_split)
    if math.prod(free_sizes) > 1:
        say_once(SEVERAL_DEVICES)
        kind = {"decays": decays, "applies": applies, "image": image}
        return _lower_formula(ctx, *operands, **kind)
    extension.register(extension.ADAMW_TARGET)
    allow_in_exports(extension.TARGETS)
    _, param, grad, mu, nu = range(5)
    # An update takes the gradient's memory: the parameter is still to be added to.
    aliases = {param if applies else grad: 0, mu: 1, nu: 2}
    call = jax.ffi.ffi_lowering(extension.ADAMW_TARGET, operand_output_aliases=aliases)
    return call(ctx, *operands, decays=decays, applies=applies)


def _lower_formula(ctx: Any, *operands: Any, **params: Any) -> Any:
    formula = functools.partial(_formula, **params)
    return mlir.lower_fun(formula, multiple_results=True)(ctx, *operands)


def _lower_elsewhere(ctx: Any, *operands: Any, **params: Any) -> Any:
    say_once("a program is for another platform than CPUs")
    return _lower_formula(ctx, *operands, **params)


def _jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    tangents = [
        jnp.zeros_like(primal) if isinstance(tangent, ad.Zero) else tangent
        for primal, tangent in zip(primals, tangents)
    ]
    formula = functools.partial(_formula, **params)
    return jax.jvp(formula, tuple(primals), tuple(tangents))


def _batch(operands: Any, dims: Any, **params: Any) -> Any:
    formula = functools.partial(_formula, **params)
    out = jax.vmap(formula, in_axes=dims)(*operands)
    return out, (0,) * len(out)


adamw_p = Primitive("jax_npu_adamw")
adamw_p.multiple_results = True
adamw_p.def_impl(functools.partial(xla.apply_primitive, adamw_p))
adamw_p.def_abstract_eval(_abstract_eval)
ad.primitive_jvps[adamw_p] = _jvp
batching.primitive_batchers[adamw_p] = _batch
mlir.register_lowering(adamw_p, _lower, platform="cpu")
mlir.register_lowering(adamw_p, _lower_elsewhere)
