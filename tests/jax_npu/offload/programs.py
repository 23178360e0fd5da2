"""What tests of offloading need: products counted, and errors measured."""

import re

import jax
import numpy as np

# Operands are rounded to bf16, 8 bits: errors of single products are below 2^-8, and
# these programs are a few products deep.
BF16_TOLERANCE = 0.03


def num_calls(compiled_text: str) -> int:
    return compiled_text.count('custom_call_target="xdna_gemm_')


def num_dots(compiled_text: str) -> int:
    return len(re.findall(r" dot\(", compiled_text))


def compiled_text(function, *arguments) -> str:
    return jax.jit(function).lower(*arguments).compile().as_text()


def relative_error(out, expected) -> float:
    """The largest error of any array, relative to its largest value."""
    errors = [0.0]
    for x, y in zip(jax.tree.leaves(out), jax.tree.leaves(expected), strict=True):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        errors.append(np.abs(x - y).max() / max(np.abs(y).max(), 1e-6))
    return max(errors)
