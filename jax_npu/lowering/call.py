"""The custom call of one product on one device."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jax_npu.contraction import Spec, contraction_axes, out_shape
from jax_npu.lowering.attributes import Attributes, npu_attributes, product_attributes
from jax_npu.lowering.checks import check_policy, expected_arithmetic
from jax_npu.lowering.packing import pack_constants
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

    Args:
      constant: whether lhs and whether rhs stays the same over a loop around the call.
        On the host, a call of its own packs such an operand.
    """
    result = jax.ShapeDtypeStruct(out_shape(spec, lhs.shape, rhs.shape), out_dtype)
    sizes = (*lhs.shape, *rhs.shape)
    is_symbolic = any(map(jax.export.is_symbolic_dim, sizes))
    if backend in DRIVERS and is_symbolic:
        raise NotImplementedError(
            f"backend {backend} needs sizes that are numbers, got {lhs.shape} and "
            f"{rhs.shape}; symbolic sizes work on backend host"
        )
    if backend in DRIVERS and 0 in sizes:
        return jnp.zeros(result.shape, result.dtype)  # the array has nothing to do
    target = f"xdna_gemm_{backend}"
    extension.register(target)
    pairs = part_pairs(passes, lhs.dtype, rhs.dtype)
    attributes = product_attributes(spec, pairs)
    if backend in DRIVERS:
        product_sizes = contraction_axes(spec, lhs.shape, rhs.shape).sizes
        attributes |= _on_npu(product_sizes, len(pairs), backend)
    elif len(pairs) == 1 and not is_symbolic:
        lhs, rhs = pack_constants(lhs, rhs, spec, constant)
    out: jax.Array = jax.ffi.ffi_call(target, result)(lhs, rhs, **attributes)
    return out


def _on_npu(
    sizes: tuple[int, int, int, int], num_passes: int, backend: str
) -> Attributes:
    # The array's program takes 25 ms to import and is needed here alone.
    from jax_npu.lowering.plans import product_plan, self_test_plan
    from jax_npu.runtime.designs import design_key

    device = npu_device(backend)
    batch, m, k, n = sizes
    check, strict = check_policy()
    return npu_attributes(
        # Several passes are one product with a longer k.
        plan=product_plan(device, batch, m, num_passes * k, n),
        self_test=self_test_plan(device),
        device=device,
        design_key=design_key(backend, device),
        arithmetic=expected_arithmetic(npu_arithmetic(backend, device)),
        check=check,
        strict=strict,
    )
