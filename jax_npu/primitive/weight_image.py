"""A weight together with its bf16 image, which products read in place of it.

An image is an array that the caller keeps: AdamW writes it in the pass that writes the
parameter. The pair is a primitive, which is the weight itself to all but
`round_early`. So gradients are the weight's, in f32.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, xla


def with_image(weight: jax.Array, image: jax.Array) -> jax.Array:
    """`weight`, of which products in one bf16 pass read `image` instead.

    They would round the weight to bf16 themselves, so that results are the same to the
    bit, and read half of the bytes. That takes `jax_npu.round_early` around the program
    in which this is called, which finds such products; in a loop, a branch or a jitted
    function that gets the weight from outside, they read the weight. All else does so
    too: lookups, products of higher precision, and those on backend `xla`.

    Args:
      image: the caller's promise: `weight.astype(bfloat16)`, for example of
        `jax_npu.AdamW.apply_with_images`. It is never differentiated.

    Raises:
      TypeError: the two are not f32 and bf16 of one shape.
    """
    weight, image = jnp.asarray(weight), jnp.asarray(image)
    if (weight.dtype, image.dtype) != (jnp.float32, jnp.bfloat16) or (
        weight.shape != image.shape
    ):
        raise TypeError(
            "jax_npu.with_image needs a float32 weight and its bfloat16 image, got "
            f"{weight.dtype}{list(weight.shape)} and {image.dtype}{list(image.shape)}; "
            "make the image by weight.astype(jnp.bfloat16)."
        )
    paired: jax.Array = with_image_p.bind(weight, image)
    return paired


def _abstract_eval(weight: ShapedArray, image: ShapedArray) -> ShapedArray:
    return weight


def _jvp(primals: Any, tangents: Any) -> Any:
    return with_image_p.bind(*primals), tangents[0]


def _batch(operands: Any, dims: Any) -> Any:
    return operands[0], dims[0]  # the weight alone: it is what the pair stands for


with_image_p = Primitive("jax_npu_with_image")
with_image_p.def_impl(functools.partial(xla.apply_primitive, with_image_p))
with_image_p.def_abstract_eval(_abstract_eval)
ad.primitive_jvps[with_image_p] = _jvp
batching.primitive_batchers[with_image_p] = _batch
mlir.register_lowering(with_image_p, lambda ctx, weight, image: [weight])
