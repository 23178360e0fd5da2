"""The custom call of a product, with the attributes that the handlers read."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_npu.contraction import Axes, contraction_axes, out_shape
from jax_npu.lowering.checks import check_attributes, expected_arithmetic
from jax_npu.lowering.packing import pack_constants
from jax_npu.precision import part_pairs
from jax_npu.runtime import extension
from jax_npu.runtime.target import DRIVERS, npu_arithmetic, npu_device


def gemm_call(lhs, rhs, *, spec, out_dtype, passes, backend, constant):
    """The custom call on the operands of one device.

    What is `constant`, lhs or rhs or both, is packed by a call of its own.
    """
    result = jax.ShapeDtypeStruct(out_shape(spec, lhs.shape, rhs.shape), out_dtype)
    axes = contraction_axes(spec, lhs.shape, rhs.shape)
    if backend in DRIVERS and 0 in axes.sizes:
        return jnp.zeros(result.shape, result.dtype)  # no plan has nothing to do
    target = f"xdna_gemm_{backend}"
    extension.register(target)
    pairs = part_pairs(passes, lhs.dtype, rhs.dtype)
    flat = {role: _int64s(sum(loops, ())) for role, loops in axes._asdict().items()}
    if backend == "host" and len(pairs) == 1:
        lhs, rhs = pack_constants(lhs, rhs, axes, flat, constant)
    return jax.ffi.ffi_call(target, result)(
        lhs,
        rhs,
        **flat,
        lhs_parts=_int64s(i for i, _ in pairs),
        rhs_parts=_int64s(j for _, j in pairs),
        **(_npu_attributes(axes, len(pairs), backend) if backend in DRIVERS else {}),
    )


def _npu_attributes(axes: Axes, num_passes: int, backend: str) -> dict[str, Any]:
    # The array's program takes 25 ms to import and is needed here alone.
    from jax_npu.lowering.plans import plan_attributes, self_test_attributes
    from jax_npu.runtime.designs import built_design, simulated_design

    device = npu_device(backend)
    batch, m, k, n = axes.sizes
    find = built_design if backend == "npu" else simulated_design
    return {
        # Several passes are one product with a longer k.
        **plan_attributes(device, batch, m, num_passes * k, n),
        "library": str(extension.library_path(DRIVERS[backend])),
        "design": str(find(device)),
        **check_attributes(),
        "arithmetic": expected_arithmetic(npu_arithmetic(backend, device)),
        **self_test_attributes(device),
    }


def _int64s(values):
    return np.array(list(values), np.int64)
