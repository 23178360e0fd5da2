"""The custom call of a small product on the virtual NPU, with attributes to change."""

import jax
import jax.numpy as jnp
import numpy as np

from jax_npu.contraction import Spec
from jax_npu.lowering import attributes, plans
from jax_npu.lowering.value_numbers import value_number
from jax_npu.runtime import designs, extension

TARGET = "xdna_gemm_sim"
SHAPE = (4, 4)
MATMUL = Spec("mk", "kn", "mn")


def npu_gemm_attributes():
    """The attributes of a product (4, 4) x (4, 4) without checks."""
    return attributes.product_attributes(MATMUL, [(0, 0)]) | attributes.npu_attributes(
        plan=plans.product_plan("npu1", 1, *SHAPE, 4),
        self_test=plans.self_test_plan("npu1"),
        device="npu1",
        design_key=designs.design_key("sim", "npu1"),
        arithmetic="f32",
        check="off",
        strict=False,
    )


def call(target, result, *operands, **attributes):
    extension.register(target)
    return np.asarray(jax.ffi.ffi_call(target, result)(*operands, **attributes))


def multiply(**changes):
    """A product of ones through the custom call, with some attributes changed."""
    ones = jnp.ones(SHAPE)
    result = jax.ShapeDtypeStruct(SHAPE, jnp.float32)
    numbers = [value_number(ones)] * 2
    return call(
        TARGET, result, ones, ones, *numbers, **(npu_gemm_attributes() | changes)
    )
