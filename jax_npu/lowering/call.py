"""The custom call of one product on one device."""

from typing import Any, TypedDict

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jax_npu.contraction import Axes, Spec, contraction_axes, out_shape
from jax_npu.lowering.attributes import Attributes, npu_attributes, product_attributes
from jax_npu.lowering.packing import pack_constants
from jax_npu.lowering.settings import Settings
from jax_npu.lowering.small_products import is_left_to_xla, stock_product
from jax_npu.lowering.value_numbers import numbers_of
from jax_npu.precision import part_pairs
from jax_npu.runtime import extension
from jax_npu.runtime.target import DRIVERS


class GemmParams(TypedDict):
    """What `gemm_call` takes beside the operands and the type of the result."""

    spec: Spec
    passes: int
    backend: str
    constant: tuple[bool, bool]
    settings: Settings


def params_of(parsed: Any) -> GemmParams:
    """The parameters that were written as JSON."""
    lhs_is_constant, rhs_is_constant = parsed["constant"]
    return {
        "spec": Spec(*parsed["spec"]),
        "passes": parsed["passes"],
        "backend": parsed["backend"],
        "constant": (lhs_is_constant, rhs_is_constant),
        "settings": Settings(*parsed["settings"]),
    }


def gemm_target(backend: str) -> str:
    """The name of a backend's custom call."""
    return f"xdna_gemm_{backend}"


def gemm_call(
    lhs: jax.Array,
    rhs: jax.Array,
    *,
    spec: Spec,
    out_dtype: DTypeLike,
    passes: int,
    backend: str,
    constant: tuple[bool, bool],
    settings: Settings,
) -> jax.Array:
    """The contraction `spec` of lhs and rhs, as a call of `xdna_gemm_<backend>`.

    On the host, a product that costs less than its call is a stock dot. On an NPU, the
    call takes the numbers of lhs and rhs as well.

    Args:
      constant: whether lhs and whether rhs stays the same over a loop around the call.
        On the host, a call of its own packs such an operand.
      settings: of the backend; see `settings.py`.
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
    if settings.small_products == "xla" and is_left_to_xla(lhs, rhs, spec):
        return stock_product(lhs, rhs, spec=spec, out_dtype=out_dtype, passes=passes)
    target = gemm_target(backend)
    extension.register(target)
    pairs = part_pairs(passes, lhs.dtype, rhs.dtype)
    attributes = product_attributes(spec, pairs)
    if backend in DRIVERS:
        axes = contraction_axes(spec, lhs.shape, rhs.shape)
        attributes |= _on_npu(axes, len(pairs), backend, settings)
    elif len(pairs) == 1 and not is_symbolic:
        lhs, rhs = pack_constants(lhs, rhs, spec, constant)
    numbers = numbers_of(lhs, rhs, result) if settings.shares_images else []
    aliases = {2: 0} if len(numbers) == 1 else {}
    call = jax.ffi.ffi_call(target, result, input_output_aliases=aliases)
    out: jax.Array = call(lhs, rhs, *numbers, **attributes)
    return out


def _on_npu(
    axes: Axes, num_passes: int, backend: str, settings: Settings
) -> Attributes:
    # The array's program takes 25 ms to import and is needed here alone.
    from jax_npu.lowering.pinning import require_pinnable
    from jax_npu.lowering.plans import product_plan, self_test_plan
    from jax_npu.runtime.designs import design_key

    device = settings.device
    batch, m, k, n = axes.sizes
    # Several passes are one product with a longer k.
    product = (batch, m, num_passes * k, n, *axes.orders)
    require_pinnable(backend, device, *product)
    return npu_attributes(
        plan=product_plan(device, *product),
        self_test=self_test_plan(device),
        device=device,
        design_key=design_key(backend, device),
        arithmetic=settings.arithmetic,
        check=settings.check,
        strict=settings.strict,
        stand_ins=settings.stand_ins,
    )


def same_call(target: str, shapes: Any, out_shape: Any, attributes: bytes) -> bytes:
    """A program that is nothing but that custom call, in MLIR's text.

    Args:
      shapes, out_shape: XLA's shapes of the operands and of the result.
      attributes: those of the call, as XLA prints them.
    """
    types = [_mlir_type(shape) for shape in (*shapes, out_shape)]
    layouts = [_row_major(len(shape.dimensions())) for shape in (*shapes, out_shape)]
    operands = [f"%{i}" for i in range(len(shapes))]
    parameters = map("{}: {}".format, operands, types)
    program = f"""
    module @{target} {{
      func.func public @main({", ".join(parameters)}) -> {types[-1]} {{
        %out = stablehlo.custom_call @{target}({", ".join(operands)}) {{
          api_version = 4 : i32,
          backend_config = {attributes.decode()},
          operand_layouts = [{", ".join(layouts[:-1])}],
          result_layouts = [{layouts[-1]}]
        }} : ({", ".join(types[:-1])}) -> {types[-1]}
        return %out : {types[-1]}
      }}
    }}"""
    return program.encode()


def _mlir_type(shape: Any) -> str:
    names = {"float32": "f32", "bfloat16": "bf16", "uint32": "ui32"}
    sizes = "".join(f"{size}x" for size in shape.dimensions())
    return f"tensor<{sizes}{names[shape.numpy_dtype().name]}>"


def _row_major(ndim: int) -> str:
    order = list(reversed(range(ndim)))
    return f"dense<{order if ndim else '[]'}> : tensor<{ndim}xindex>"
