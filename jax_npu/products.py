"""`dot_general`, `matmul` and `einsum` with jax's signatures, on a chosen backend."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.typing import ArrayLike, DTypeLike

from jax_npu.backend_choice import resolve_backend
from jax_npu.contraction import (
    LABELS,
    DimensionNumbers,
    Spec,
    dimension_numbers_from_spec,
    spec_from_dimension_numbers,
    spec_from_subscripts,
)
from jax_npu.jax_private import (
    cached_per_context,
    dot_general_of_lax,
    nothing_is_traced,
)
from jax_npu.lowering.settings import Settings, current_settings
from jax_npu.other_dtypes import is_left_to_lax
from jax_npu.precision import num_passes
from jax_npu.primitive.gemm import gemm

OutSharding = jax.NamedSharding | jax.P | None


def dot_general(
    lhs: ArrayLike,
    rhs: ArrayLike,
    dimension_numbers: lax.DotDimensionNumbers,
    precision: lax.PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
    *,
    out_sharding: OutSharding = None,
    backend: str | None = None,
) -> jax.Array:
    """`jax.lax.dot_general` on an NPU backend: same signature, shapes and errors.

    Operands are rounded to bf16, products accumulated in f32. Drop it in wherever a
    library takes a `dot_general`, as `flax.nnx.Linear` does.

    Args:
      lhs, rhs: float32 or bfloat16. Products of other types are lax's, which stderr
        says once for each type; where `$JAX_NPU_STRICT` is 1, they are errors.
      dimension_numbers, preferred_element_type, out_sharding: as in `lax.dot_general`.
      precision: by default one bf16 pass; `HIGH` and `HIGHEST`, or the presets
        `BF16_BF16_F32_X3`, `_X6` and `_X9`, split f32 operands into bf16 parts.
      backend: overrides the context manager and the environment, see `jax_npu.backend`.

    Raises:
      TypeError: for shapes that do not fit, as lax does.
      ValueError: for a backend that does not exist or cannot run here.
      NotImplementedError: for a precision that is not a sum of bf16 products.
    """
    backend = resolve_backend(backend)
    options = _options(precision, preferred_element_type, out_sharding)
    if backend == "xla" or is_left_to_lax(preferred_element_type, lhs, rhs):
        return dot_general_of_lax(lhs, rhs, dimension_numbers, **options)
    options["dimension_numbers"] = _hashable(dimension_numbers)
    return _run(_dot_general, lhs, rhs, backend=backend, **options)


def _dot_general(
    lhs: jax.Array, rhs: jax.Array, *, backend: str, **options: Any
) -> jax.Array:
    numbers, params = _checked_by_lax(jax.typeof(lhs), jax.typeof(rhs), **options)
    spec = spec_from_dimension_numbers(numbers, lhs.ndim, rhs.ndim)
    return gemm(lhs, rhs, spec=spec, backend=backend, **params)


def matmul(
    a: ArrayLike,
    b: ArrayLike,
    *,
    precision: lax.PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: OutSharding = None,
    backend: str | None = None,
) -> jax.Array:
    """`jax.numpy.matmul` on an NPU backend; arguments and errors as in `dot_general`.

    A batch dimension that only one operand has, or that is 1 in the other, makes that
    operand taller: it is one GEMM, not a loop over the batch.
    """
    backend = resolve_backend(backend)
    options = _options(precision, preferred_element_type, out_sharding)
    if backend == "xla" or is_left_to_lax(preferred_element_type, a, b):
        return jnp.matmul(a, b, **options)
    return _run(_matmul, a, b, backend=backend, **options)


def _matmul(a: jax.Array, b: jax.Array, *, backend: str, **options: Any) -> jax.Array:
    # raises numpy's errors
    _type_of(jnp.matmul, jax.typeof(a), jax.typeof(b), **options)
    batch = LABELS[3 : 3 + max(a.ndim, b.ndim, 2) - 2]
    a_batch, b_batch = (
        batch[len(batch) - a.ndim + 2 :],
        batch[len(batch) - b.ndim + 2 :],
    )
    broadcast = {
        label
        for label, size, other in zip(
            reversed(batch), reversed(a.shape[:-2]), reversed(b.shape[:-2])
        )
        if size != other
    }
    a, a_batch = _drop_ones(a, a_batch, broadcast)
    b, b_batch = _drop_ones(b, b_batch, broadcast)
    m, k, n = "a" if a.ndim > 1 else "", "b", "c" if b.ndim > 1 else ""
    spec = Spec(a_batch + m + k, b_batch + k + n, batch + m + n)
    return _contract(a, b, spec=spec, backend=backend, **options)


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    precision: lax.PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: OutSharding = None,
    backend: str | None = None,
) -> jax.Array:
    """`jax.numpy.einsum` on an NPU backend; arguments and errors as in `dot_general`.

    Two operands whose labels are each in two of the three terms are one GEMM that
    writes the result in the order asked for. Anything else goes through
    `jax.numpy.einsum`, which calls `dot_general` for each pair of operands.
    """
    backend = resolve_backend(backend)
    options = _options(precision, preferred_element_type, out_sharding)
    if backend == "xla":
        return jnp.einsum(subscripts, *operands, **options)
    if isinstance(subscripts, str) and len(operands) == 2:
        if is_left_to_lax(preferred_element_type, *operands):
            return jnp.einsum(subscripts, *operands, **options)
        lhs, rhs = map(jnp.asarray, operands)
        spec = spec_from_subscripts(subscripts, lhs.shape, rhs.shape)
        if spec is not None:
            if any(jax.typeof(x).sharding.mesh.explicit_axes for x in (lhs, rhs)):
                # There the order of jax's operands, which may swap, is in the type.
                stock = functools.partial(jnp.einsum, subscripts, **options)
                out = jax.make_jaxpr(stock)(lhs, rhs).out_avals[0]
                options["out_sharding"] = out_sharding or out.sharding
            return _run(_contract, lhs, rhs, spec=spec, backend=backend, **options)
    return jnp.einsum(
        subscripts, *operands, **options, _dot_general=_dot_general_on(backend)
    )


def _options(
    precision: lax.PrecisionLike,
    preferred_element_type: DTypeLike | None,
    out_sharding: OutSharding,
) -> dict[str, Any]:
    """The arguments that every product of lax and jax.numpy takes by keyword."""
    return {
        "precision": precision,
        "preferred_element_type": preferred_element_type,
        "out_sharding": out_sharding,
    }


def _run(
    product: Callable[..., jax.Array], lhs: ArrayLike, rhs: ArrayLike, **options: Any
) -> jax.Array:
    """`product(lhs, rhs, ...)`, compiled where nothing is traced around the call."""
    lhs, rhs = (x if isinstance(x, jax.Array) else jnp.asarray(x) for x in (lhs, rhs))
    if nothing_is_traced():
        product = _compiled(product, current_settings(options["backend"]))
    return product(lhs, rhs, **options)


@functools.cache
def _compiled(
    product: Callable[..., jax.Array], _: Settings
) -> Callable[..., jax.Array]:
    """The product for one state of the environment, which jit does not know."""

    @functools.wraps(product)
    def own(*operands: Any, **options: Any) -> jax.Array:
        return product(*operands, **options)  # jit would find `product` again

    names = ("dimension_numbers", "spec", "backend", *_options(None, None, None))
    compiled: Callable[..., jax.Array] = jax.jit(own, static_argnames=names)
    return compiled


def _hashable(dimension_numbers: Any) -> Any:
    """The same numbers as tuples of int, if they are sequences of numbers at all."""
    if isinstance(dimension_numbers, Sequence | np.ndarray):
        return tuple(map(_hashable, dimension_numbers))
    is_number = isinstance(dimension_numbers, np.integer)
    return int(dimension_numbers) if is_number else dimension_numbers


def _contract(
    lhs: jax.Array, rhs: jax.Array, *, spec: Spec, backend: str, **options: Any
) -> jax.Array:
    dimension_numbers = dimension_numbers_from_spec(spec)
    # numpy's promotion, which lax.dot_general leaves to its caller
    options["preferred_element_type"] = options["preferred_element_type"] or (
        jnp.result_type(lhs, rhs)
    )
    types = jax.typeof(lhs), jax.typeof(rhs)
    _, params = _checked_by_lax(*types, dimension_numbers=dimension_numbers, **options)
    return gemm(lhs, rhs, spec=spec, backend=backend, **params)


@cached_per_context
def _checked_by_lax(
    lhs: ShapedArray, rhs: ShapedArray, **options: Any
) -> tuple[DimensionNumbers, dict[str, Any]]:
    """What `lax.dot_general` makes of its arguments, with the errors that it raises."""
    jaxpr = jax.make_jaxpr(functools.partial(dot_general_of_lax, **options))(lhs, rhs)
    params = jaxpr.eqns[-1].params
    return params["dimension_numbers"], {
        "out_dtype": jaxpr.out_avals[0].dtype,
        "passes": num_passes(params["precision"]),
        "sharding": params["out_sharding"],
    }


@cached_per_context
def _type_of(
    product: Callable[..., jax.Array], *operands: ShapedArray, **options: Any
) -> ShapedArray:
    """The type of one of jax's products, with the errors that it raises."""
    jaxpr = jax.make_jaxpr(functools.partial(product, **options))(*operands)
    out: ShapedArray = jaxpr.out_avals[0]
    return out


def _drop_ones(x: jax.Array, batch: str, broadcast: set[str]) -> tuple[jax.Array, str]:
    """`x` without its size-1 dimensions among `broadcast`, and the labels that stay."""
    dims = [d for d, c in enumerate(batch) if c in broadcast and x.shape[d] == 1]
    kept = "".join(c for d, c in enumerate(batch) if d not in dims)
    return (jnp.squeeze(x, dims) if dims else x), kept


@functools.cache
def _dot_general_on(backend: str) -> Callable[..., jax.Array]:
    """One object a backend, so that jax.numpy.einsum's own jit finds it again."""
    return functools.partial(dot_general, backend=backend)
