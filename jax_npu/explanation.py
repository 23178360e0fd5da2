"""The GEMMs that a function runs: how often, and on which backend."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
from jax import lax
from jax.extend.core import Jaxpr, JaxprEqn, jaxprs_in_params
from jax.interpreters.partial_eval import dce_jaxpr

from jax_npu.contraction import Spec, contraction_axes, spec_from_dimension_numbers
from jax_npu.gemm import gemm_p

if TYPE_CHECKING:  # takes as long to import as all of jax_npu, and few programs print
    from rich.table import Table


@dataclass(frozen=True)
class Product:
    """A batch of products (m, k) x (k, n) and where it runs."""

    batch: int
    m: int
    k: int
    n: int
    lhs: str
    rhs: str
    out: str
    backend: str

    @property
    def flops(self) -> int:
        return 2 * self.batch * self.m * self.k * self.n


@dataclass(frozen=True)
class Row(Product):
    """All calls of one product; `share` is of the function's GEMM FLOPs."""

    calls: int
    share: float


@dataclass(frozen=True)
class Explanation:
    """What `explain` found, largest share first; prints as a table with rich."""

    rows: tuple[Row, ...]

    def __rich__(self) -> "Table":
        from rich.table import Table

        table = Table(title="GEMMs of one call", title_justify="left")
        for name in ("batch", "m", "k", "n", "calls", "GFLOP", "share"):
            table.add_column(name, justify="right")
        table.add_column("types")
        table.add_column("backend")
        for row in self.rows:
            table.add_row(
                *(f"{size:,}" for size in (row.batch, row.m, row.k, row.n, row.calls)),
                f"{row.flops * row.calls / 1e9:.3f}",
                f"{row.share:.1%}",
                f"{_short(row.lhs)} x {_short(row.rhs)} -> {_short(row.out)}",
                row.backend,
            )
        return table


def explain(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
    """The GEMMs that one call of `function` runs, read off its trace.

    Nothing is executed. A GEMM whose result no output needs does not count. One in a
    `scan` counts once an iteration, one in a `while_loop` once, and one in a branch of
    `cond` as if it were taken.

    Args:
      function: any traceable function, jitted or not.
      args, kwargs: arrays or `jax.ShapeDtypeStruct`s.
    """
    traced = jax.jit(function).trace(*args, **kwargs).jaxpr.jaxpr
    jaxpr, _ = dce_jaxpr(traced, [True] * len(traced.outvars))
    calls: Counter[Product] = Counter()
    for gemm, times in _gemms(jaxpr, 1):
        calls[gemm] += times
    total = sum(gemm.flops * times for gemm, times in calls.items())
    rows = (
        Row(**vars(gemm), calls=times, share=gemm.flops * times / max(total, 1))
        for gemm, times in calls.items()
    )
    return Explanation(tuple(sorted(rows, key=lambda row: -row.share)))


def _short(dtype: str) -> str:
    return dtype.replace("bfloat", "bf").replace("float", "f")


def _gemms(jaxpr: Jaxpr, times: int) -> Iterator[tuple[Product, int]]:
    for eqn in jaxpr.eqns:
        if eqn.primitive is gemm_p:
            yield _describe(eqn, eqn.params["spec"], eqn.params["backend"]), times
        elif eqn.primitive is lax.dot_general_p:
            lhs, rhs = map(_aval, eqn.invars)
            numbers = eqn.params["dimension_numbers"]
            spec = spec_from_dimension_numbers(numbers, lhs.ndim, rhs.ndim)
            yield _describe(eqn, spec, "xla"), times
        inner_times = times * eqn.params.get("length", 1)  # of a scan
        for inner in jaxprs_in_params(eqn.params):
            yield from _gemms(inner, inner_times)


def _describe(eqn: JaxprEqn, spec: Spec, backend: str) -> Product:
    avals = [_aval(v) for v in (*eqn.invars, *eqn.outvars)]
    batch, m, k, n = contraction_axes(spec, avals[0].shape, avals[1].shape).sizes
    lhs, rhs, out = (str(aval.dtype) for aval in avals)
    return Product(batch, m, k, n, lhs, rhs, out, backend)


def _aval(variable: Any) -> jax.core.ShapedArray:
    aval: jax.core.ShapedArray = variable.aval
    return aval
