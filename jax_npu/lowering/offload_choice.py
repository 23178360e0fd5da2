"""Which products of lax are offloaded, and how: a mark on what is traced.

`jax_npu.offload` marks each equation that jax traces with XLA metadata, which follows
it through derivatives, vmap and every other transformation, and is part of jit's cache
key. The lowering of `lax.dot_general` reads the mark. A process may offload everything
that bears none.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.xla_metadata import set_xla_metadata
from jax.lax import DotAlgorithmPreset, Precision

from jax_npu.jax_private import current_metadata
from jax_npu.lowering.settings import Settings, current_settings
from jax_npu.precision import is_sum_of_products, num_passes

KEY = "jax_npu"  # of the metadata
GEMM_DTYPES = (jnp.float32, jnp.bfloat16)
Scopes = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Choice:
    """What becomes of the products that are traced under it.

    Attributes:
      backend: of `jax_npu.backends()`; `xla` leaves them to lax.
      precision: (name scope, precision) pairs for products that have no precision of
        their own. The first that fits decides; the scope "" fits everything.
      settings: of the backend.
    """

    backend: str
    precision: Scopes
    settings: Settings

    @classmethod
    def now(cls, backend: str, precision: Scopes = ()) -> "Choice":
        """The choice of what is traced, or lowered, in the present environment."""
        return cls(backend, precision, current_settings(backend))

    def mark(self) -> AbstractContextManager[None]:
        """Context manager: marks what is traced inside."""
        text = json.dumps([self.backend, self.precision, self.settings])
        manager: AbstractContextManager[None] = set_xla_metadata(**{KEY: text})
        return manager

    def precision_at(self, name_stack: str) -> Any:
        """The precision of a product in that name scope, or None for the default."""
        for scope, precision in self.precision:
            if is_in_scope(name_stack, scope):
                return _precision_named(precision)
        return None


def is_in_scope(name_stack: str, scope: str) -> bool:
    """Whether a product in those name scopes is in that one, such as "layer_0/mlp"."""
    words = re.split(r"[/()]+", name_stack)
    parts = scope.split("/") if scope else []
    starts = range(len(words) - len(parts) + 1)
    return any(words[i : i + len(parts)] == parts for i in starts)


class Process:
    """What this process does with products that bear no mark: asks `choice`."""

    choice: Callable[[], Choice] | None = None


def current_choice() -> Choice | None:
    """The choice for what is traced now, or None if nothing is offloaded."""
    return choice_in(current_metadata())


def choice_in(metadata: Mapping[str, Any] | None) -> Choice | None:
    """The choice that an equation's metadata holds, else the process's."""
    text = (metadata or {}).get(KEY)
    if text is not None:
        return _parsed(text)
    return Process.choice() if Process.choice else None


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> Choice:
    backend, precision, settings = json.loads(text)
    pairs = tuple((scope, name) for scope, name in precision)
    return Choice(backend, pairs, Settings(*settings))


def scopes(precision: Any) -> Scopes:
    """The pairs of `Choice.precision`, from what a user passes.

    Args:
      precision: a precision as lax takes it, a mapping from name scopes to such, or
        None.

    Raises:
      ValueError: for a name that is no precision of jax.
    """
    if precision is None:
        return ()
    if not isinstance(precision, Mapping):
        precision = {"": precision}
    return tuple((scope, _precision_name(p)) for scope, p in precision.items())


def _precision_name(precision: Any) -> str:
    name: str = getattr(precision, "name", precision)
    _precision_named(name)
    return name


# jax's other names for precisions, as `jax.default_matmul_precision` takes them.
_ALIASES = {
    "bfloat16": Precision.DEFAULT,
    "bfloat16_3x": Precision.HIGH,
    "tensorfloat32": Precision.HIGH,
    "float32": Precision.HIGHEST,
}


def _precision_named(name: str) -> Any:
    if name in _ALIASES:
        return _ALIASES[name]
    for known in (Precision, DotAlgorithmPreset):
        if str(name).upper() in known.__members__:
            return known[str(name).upper()]
    raise ValueError(
        f"precision must be a jax.lax.Precision or a name of one, got {name!r}; "
        "'highest' is f32, 'default' one bf16 product."
    )


def choice_for(
    metadata: Mapping[str, Any] | None,
    lhs: jax.core.ShapedArray,
    rhs: jax.core.ShapedArray,
    out: jax.core.ShapedArray,
    precision: Any,
) -> tuple[Choice | None, str]:
    """The choice for a product of lax, or None and the reason why lax keeps it."""
    choice = choice_in(metadata)
    if choice is None:
        return None, "not offloaded"
    if choice.backend == "xla":
        return None, "backend xla"
    reason = _why_left_to_lax(lhs, rhs, out, precision)
    return (None, reason) if reason else (choice, "")


def _why_left_to_lax(
    lhs: jax.core.ShapedArray,
    rhs: jax.core.ShapedArray,
    out: jax.core.ShapedArray,
    precision: Any,
) -> str | None:
    """The reason why a product is left to lax whatever was chosen, or None."""
    if has_one_element(lhs) and has_one_element(rhs):
        return "scalars"
    for aval in (lhs, rhs, out):
        if aval.dtype not in GEMM_DTYPES:
            return f"dtype {aval.dtype}"
    if not is_sum_of_products(precision):
        return f"precision {precision}"
    sharding = out.sharding
    if sharding.spec.unreduced and sharding.mesh.auto_axes:
        return "unreduced result on a mesh with Auto axes"
    return None


def has_one_element(aval: jax.core.ShapedArray) -> bool:
    """Whether an array is a scalar, whatever its rank.

    Products of such occur in reducers, where XLA takes no custom call.
    """
    return all(isinstance(size, int) and size == 1 for size in aval.shape)


def passes_of(choice: Choice, precision: Any, name_stack: str) -> int:
    """1, 3, 6 or 9 bf16 products, of a product with that precision at that scope.

    jax's default precision is none of the product's own.
    """
    if precision in (None, (Precision.DEFAULT, Precision.DEFAULT)):
        precision = choice.precision_at(name_stack)
        if isinstance(precision, Precision):
            precision = (precision, precision)
    return num_passes(precision)
