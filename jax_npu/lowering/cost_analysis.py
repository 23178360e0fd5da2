"""The costs of custom calls in jax's `cost_analysis()`.

XLA does not know what a custom call costs and counts -1 of everything for each. Whoever
computes a utilisation divides by that, so compiled and lowered programs add the FLOPs
and bytes of our products.
"""

import functools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax

from jax_npu.runtime.extension import NUMBER_TARGETS

# In XLA's text: an array, and one of our calls. That of one device ends with labels of
# its arrays; that of several, yet to be split, has the sizes of a sharding rule.
_ARRAY = re.compile(r"^\s*(?:ROOT )?%?(\S+) = (\w+)\[([\d,]*)\]", re.MULTILINE)
_CALL = re.compile(
    r"^\s*(?:ROOT )?%?(?P<out>\S+) = \S+ custom-call\((?P<operands>.*?)\), "
    r'custom_call_target="xdna_gemm_\w+".*',
    re.MULTILINE,
)
# Calls for the numbers of a product's operands. They access nothing.
_NUMBER = re.compile(f'custom_call_target="({"|".join(NUMBER_TARGETS)})"')
_RULE = re.compile(r"sdy\.op_sharding_rule<.*?\{(.*?)\}")
_UNKNOWN = -1.0  # what XLA counts for a call
_TIME = "optimal_seconds"  # by XLA's model of the CPU, which only calls bring in


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
        text = as_text(self) or ""
        calls = [*_costs(text), *map(_free, _NUMBER.findall(text))]
        if not calls:
            return costs
        added = {
            name: costs.get(name, 0.0)
            + sum(call[name] - _UNKNOWN for call in calls if name in call)
            for name in calls[0]
        }
        known = {k: v for k, v in costs.items() if k != _TIME or v >= 0}
        return known | added

    stage.cost_analysis = cost_analysis


def _costs(text: str) -> Iterator[dict[str, float]]:
    """The costs of each of our calls in a program, by XLA's names."""
    arrays = {
        name: (dtype, [int(size) for size in sizes.split(",") if size])
        for name, dtype, sizes in _ARRAY.findall(text)
    }
    for call in _CALL.finditer(text):
        names = [_name(operand) for operand in call["operands"].split(", ")]
        lhs, rhs, out = (arrays[name] for name in (*names[:2], call["out"]))
        num_bytes = [_num_bytes(*array) for array in (lhs, rhs, out)]
        numbers = range(2, len(names))  # on an NPU
        costs: dict[str, float] = {
            "flops": 2 * _num_multiply_adds(call[0], (lhs[1], rhs[1], out[1])),
            "bytes accessed": sum(num_bytes),
            "bytes accessed0{}": num_bytes[0],
            "bytes accessed1{}": num_bytes[1],
            "bytes accessedout{}": num_bytes[2],
        }
        yield costs | {f"bytes accessed{i}{{}}": 0.0 for i in numbers}


def _free(target: str) -> dict[str, float]:
    """The costs of a call that accesses nothing."""
    arrays = (*range(NUMBER_TARGETS[target]), "out")
    accessed = [f"bytes accessed{array}{{}}" for array in arrays]
    return dict.fromkeys(("flops", "bytes accessed", *accessed), 0.0)


def _name(operand: str) -> str:
    """The name in "%name", "name" or "f32[2,3]{1,0} %name"."""
    return operand.split(" ")[-1].lstrip("%")


def _num_bytes(dtype: str, shape: list[int]) -> int:
    bits = int(re.sub(r"\D", "", dtype))  # bf16, f32; u32 where it was packed
    return math.prod(shape) * bits // 8


def _num_multiply_adds(call: str, shapes: tuple[list[int], ...]) -> int:
    if rule := _RULE.search(call):
        return math.prod(int(size) for size in re.findall(r"=(\d+)", rule[1]))
    sizes: dict[str, int] = {}
    for name, shape in zip(("lhs", "rhs", "out"), shapes):
        labels = _labels(call, name)
        if len(labels) == len(shape):  # else it was packed into one
            sizes |= zip(labels, shape)
    return math.prod(sizes.values())


def _labels(call: str, name: str) -> list[str]:
    """The labels of one of a call's arrays: one number, or a list of them."""
    (numbers,) = re.findall(rf"\b{name} = dense<([^>]*)>", call)
    return re.findall(r"\d+", numbers)
