"""Sides that a user asks for, by the sizes of products or their name scope."""

import functools
import json
from collections.abc import Mapping
from typing import Any

from jax_npu.lowering.offload_choice import is_in_scope
from xdna.placement.product import HOST, NPU, Sizes

SIDES = (NPU, HOST)
Rules = tuple[tuple[str | tuple[int, ...], str], ...]


def as_text(sides: Mapping[Any, str]) -> str:
    """The rules as a part of the settings.

    Args:
      sides: `"npu"` or `"host"` for sizes, (m, k, n) or (batch, m, k, n), and for name
        scopes.

    Raises:
      ValueError: for other keys or sides.
    """
    rules = []
    for key, side in sides.items():
        if side not in SIDES:
            raise ValueError(
                f"placement must name {' or '.join(SIDES)} for {key!r}, got {side!r}"
            )
        rules.append([key if isinstance(key, str) else _checked(key), side])
    return json.dumps(rules) if rules else ""


def _checked(key: Any) -> list[int]:
    sizes = list(key) if isinstance(key, tuple) else []
    if len(sizes) not in (3, 4) or not all(type(n) is int and n > 0 for n in sizes):
        raise ValueError(
            "placement needs sizes (m, k, n) or (batch, m, k, n), whole numbers above "
            f"0, or the name scope of products, got {key!r}"
        )
    return sizes


def forced_side(text: str, sizes: Sizes, name_stack: str) -> str | None:
    """The side that the first rule that fits asks for, or None.

    Sizes (m, k, n) fit products of any batch.
    """
    for key, side in _rules(text):
        if isinstance(key, str):
            if is_in_scope(name_stack, key):
                return side
        elif key in (tuple(sizes), tuple(sizes[1:])):
            return side
    return None


@functools.lru_cache(maxsize=64)
def _rules(text: str) -> Rules:
    rules = json.loads(text) if text else []
    return tuple(
        (key if isinstance(key, str) else tuple(key), side) for key, side in rules
    )
