"""The attributes of the custom calls: the only place in jax_npu that names them.

`xla_ffi/attributes.h` declares the same names and types and decodes by name, so that
one which differs, is missing or is left over is an error of the call.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_npu.contraction import Spec
from jax_npu.jax_private import hashable

if TYPE_CHECKING:  # takes long to import, and only backends on an NPU need it
    from xdna.gemm.tiling import Plan

Attributes = dict[str, Any]


def product_attributes(spec: Spec, part_pairs: Sequence[tuple[int, int]]) -> Attributes:
    """`ProductAttributes`: what every GEMM takes, whatever the sizes of its arrays.

    Args:
      part_pairs: (part of lhs, part of rhs) of each product that is summed.
    """
    return _labels(spec) | {
        "lhs_parts": np.array([i for i, _ in part_pairs], np.int64),
        "rhs_parts": np.array([j for _, j in part_pairs], np.int64),
    }


def pack_attributes(spec: Spec, is_lhs: bool, other_shape: Sequence[int]) -> Attributes:
    """`PackAttributes`: the product, without a batch, whose operand is packed.

    Args:
      other_shape: of the operand that is not packed.
    """
    return _labels(spec) | {
        "is_lhs": is_lhs,
        "other_sizes": np.array(other_shape, np.int64),
    }


def plan_attributes(plan: "Plan", words: Sequence[np.ndarray]) -> Attributes:
    """`PlanAttributes`, of a product or of the self-test.

    Args:
      words: the instructions of each of the plan's runs.
    """
    from xdna.gemm.array import IMAGE_TILE
    from xdna.gemm.images import stored_multiples

    array = plan.array
    assert array.out == "float32"  # what xla_ffi/npu unpacks
    a_order, b_order = "mk", "nk" if array.b_column_major else "kn"
    if array.is_tiled:  # the images lie as the operands do
        a_order, b_order = plan.orders
    else:
        assert array.images == "rows"  # what xla_ffi/npu packs
    m_multiple, n_multiple = stored_multiples(array)
    return {
        "block_m": np.int64(array.block_m),
        "block_n": np.int64(array.block_n),
        "padded_k": np.int64(plan.padded_k),
        "m_multiple": np.int64(m_multiple),
        "n_multiple": np.int64(n_multiple),
        "image_tile": np.int64(IMAGE_TILE if array.is_tiled else 0),
        "a_k_is_rows": a_order == "km",
        "b_k_is_rows": b_order == "kn",
        "swapped": plan.swapped,
        # (batch, block row, block column) of each run
        "run_starts": _int64s([run.start for run in plan.runs]),
        "run_grids": _int64s([run.grid for run in plan.runs]),
        "run_num_words": _int64s([len(part) for part in words]),
        "words": hashable(np.concatenate(words)),
    }


def npu_attributes(
    *,
    plan: Attributes,
    self_test: Attributes,
    device: str,
    design_key: str,
    arithmetic: str,
    check: str,
    strict: bool,
    stand_ins: bool = False,
) -> Attributes:
    """`NpuAttributes`: what a GEMM on an NPU takes beside those of the product.

    Args:
      plan, self_test: of `plan_attributes`.
      device: npu1 or npu2; its driver and design are found where the program runs.
      design_key: see `designs.design_key`.
      arithmetic: `f32` or `bfp16`, what results are compared with.
      check, strict, stand_ins: see `settings.Settings`.
    """
    return {
        "plan": plan,
        "self_test": self_test,
        "device": device,
        "design_key": design_key,
        "arithmetic": arithmetic,
        "check": check,
        "strict": strict,
        "stand_ins": stand_ins,
    }


def _labels(spec: Spec) -> Attributes:
    """A number for each dimension; labels count from 0, by their first appearance."""
    numbers = {c: i for i, c in enumerate(dict.fromkeys(spec.lhs + spec.rhs))}
    return {
        name: np.array([numbers[c] for c in term], np.int64)
        for name, term in zip(Spec._fields, spec)
    }


def _int64s(values: Sequence[Any]) -> Any:
    return hashable(np.array(values, np.int64))
