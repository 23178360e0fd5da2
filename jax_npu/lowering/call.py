"""The custom call of one product on one device."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jax_npu.contraction import Axes, Spec, contraction_axes, out_shape
from jax_npu.lowering.attributes import Attributes, npu_attributes, product_attributes
from jax_npu.lowering.checks import check_policy, expected_arithmetic
from jax_npu.lowering.packing import pack_constants
from jax_npu.lowering.small_products import is_left_to_xla, stock_product
from jax_npu.precision import part_pairs
from jax_npu.runtime import extension
from jax_npu.runtime.target import DRIVERS, npu_arithmetic, npu_device


def gemm_call(
    lhs: jax.Array,
    rhs: jax.Array,
    *,
    spec: Spec,
    out_dtype: DTypeLike,
    passes: int,
    backend: str,
    constant: tuple[bool, bool],
) -> jax.Array:
    """The contraction `spec` of lhs and rhs, as a call of `xdna_gemm_<backend>`.

    On the host, a product that costs less than its call is a stock dot.

    Args:
      constant: whether lhs and whether rhs stays the same over a loop around the call.
        On the host, a call of its own packs such an operand.
    """
    result = jax.ShapeDtypeStruct(out_shape(spec, lhs.shape, rhs.shape), out_dtype)
    axes = contraction_axes(spec, lhs.shape, rhs.shape)
    if backend in DRIVERS and 0 in axes.sizes:
        return jnp.zeros(result.shape, result.dtype)  # the array has nothing to do
    if backend == "host" and is_left_to_xla(lhs, rhs, axes.sizes):
        return stock_product(lhs, rhs, spec=spec, out_dtype=out_dtype, passes=passes)
    target = f"xdna_gemm_{backend}"
    extension.register(target)
    pairs = part_pairs(passes, lhs.dtype, rhs.dtype)
    attributes = product_attributes(axes, pairs)
    if backend in DRIVERS:
        attributes |= _on_npu(axes, len(pairs), backend)
    elif len(pairs) == 1:
        lhs, rhs = pack_constants(lhs, rhs, axes, constant)
    out: jax.Array = jax.ffi.ffi_call(target, result)(lhs, rhs, **attributes)
    return out


def _on_npu(axes: Axes, num_passes: int, backend: str) -> Attributes:
    # The array's program takes 25 ms to import and is needed here alone.
    from jax_npu.lowering.plans import product_plan, self_test_plan
    from jax_npu.runtime.designs import built_design, simulated_design

    device = npu_device(backend)
    batch, m, k, n = axes.sizes
    find = built_design if backend == "npu" else simulated_design
    check, strict = check_policy()
    return npu_attributes(
        # Several passes are one product with a longer k.
        plan=product_plan(device, batch, m, num_passes * k, n),
        self_test=self_test_plan(device),
        library=str(extension.library_path(DRIVERS[backend])),
        design=str(find(device)),
        arithmetic=expected_arithmetic(npu_arithmetic(backend, device)),
        check=check,
        strict=strict,
    )
