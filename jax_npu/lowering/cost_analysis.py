"""The FLOPs of custom calls in jax's `cost_analysis()`.

XLA does not know what a custom call costs and counts -1 for each. Whoever computes a
utilisation divides by that, so compiled and lowered programs add those of our products.
"""

import functools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax

# A call in XLA's text: its result, its operands, and the labels of all three.
_CALL = re.compile(
    r"= (?P<out>\w+\[[\d,]*\])\S* custom-call\(.*"
    r'custom_call_target="xdna_gemm_\w+", '
    r"operand_layout_constraints=\{(?P<operands>[^=]*)\}, .*"
)
_SIZES = re.compile(r"\w+\[([\d,]*)\]")
_UNKNOWN = -1.0  # what XLA counts for a call


@functools.cache
def install() -> None:
    """Has `cost_analysis()` of jax's stages count our products, once a process."""
    _wrap(jax.stages.Compiled, jax.stages.Compiled.as_text)
    _wrap(jax.stages.Lowered, lambda lowered: lowered.as_text("hlo"))


def _wrap(stage: Any, as_text: Callable[[Any], str | None]) -> None:
    stock: Callable[[Any], Any] = stage.cost_analysis

    @functools.wraps(stock)
    def cost_analysis(self: Any) -> Any:
        costs = stock(self)
        if not isinstance(costs, dict) or "flops" not in costs:
            return costs
        flops = list(_flops(as_text(self) or ""))
        added = sum(flops) - _UNKNOWN * len(flops)
        return costs | {"flops": costs["flops"] + added}

    stage.cost_analysis = cost_analysis


def _flops(text: str) -> Iterator[int]:
    """The FLOPs of each of our calls in a program."""
    for call in _CALL.finditer(text):
        sizes: dict[str, int] = {}
        arrays = [*_SIZES.findall(call["operands"]), *_SIZES.findall(call["out"])]
        for name, array in zip(("lhs", "rhs", "out"), arrays):
            labels = _labels(call[0], name)
            dimensions = array.split(",") if array else []
            if len(labels) == len(dimensions):  # else it was packed into one
                sizes |= zip(labels, map(int, dimensions))
        yield 2 * math.prod(sizes.values())


def _labels(call: str, name: str) -> list[str]:
    """The labels of one of a call's arrays: one number, or a list of them."""
    (numbers,) = re.findall(rf"\b{name} = dense<([^>]*)>", call)
    return re.findall(r"\d+", numbers)
