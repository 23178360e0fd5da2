"""Losses of many windows, in batches of few shapes.

Shapes: B windows, N tokens of each with its padding, V the size of the vocabulary.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray

import jax_npu
from gpt2_flax.evaluation.windows import Window
from gpt2_flax.loading import GPT2
from gpt2_flax.model import GPT2Config, Params, logits_function
from gpt2_flax.training.loss import token_losses

MULTIPLE = 64  # windows are padded to a multiple of tokens: few programs are compiled
LOGITS_BYTES = 2**28  # of a batch, which are most of its memory

Key = TypeVar("Key")
Losses = Callable[[Params, ArrayLike, ArrayLike], Array]


def window_losses(
    model: GPT2, windows: Iterable[tuple[Key, Window]]
) -> Iterator[tuple[Key, float]]:
    """The key of each window, and the sum of its targets' losses in nats.

    They come in another order. Only windows of one batch of each size are held.
    """
    waiting: dict[int, list[tuple[Key, Window]]] = defaultdict(list)
    for key, window in windows:
        size = padded_size(len(window.tokens), model.config)
        waiting[size].append((key, window))
        if len(waiting[size]) == batch_size(size, model.config):
            yield from batch_losses(model, waiting.pop(size), size)
    for size, rest in waiting.items():
        yield from batch_losses(model, rest, size)


def batch_losses(
    model: GPT2, batch: list[tuple[Key, Window]], size: int
) -> Iterator[tuple[Key, float]]:
    tokens, counts = padded([window for _, window in batch], size)
    sums = compiled(model.config)(model.params, tokens, counts)  # (B,)
    for (key, _), total in zip(batch, np.asarray(sums)):
        yield key, float(total)


def padded(
    windows: list[Window], size: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Tokens (B, N), and which of tokens 1 to N - 1 are targets, (B, N - 1).

    B is a power of two, and N the `size`; what is added has no target.
    """
    num_rows = 1 << (len(windows) - 1).bit_length()
    tokens = np.zeros((num_rows, size), np.int32)
    counts = np.zeros((num_rows, size - 1), bool)
    for row, (window, is_target) in enumerate(windows):
        tokens[row, : len(window)] = window
        counts[row, : len(window) - 1] = is_target[1:]
    return tokens, counts


@cache
def compiled(config: GPT2Config) -> Losses:
    """The sum of the losses of each window, (B,), whose target counts.

    The function takes parameters, tokens (B, N), and which targets count, (B, N - 1).
    """
    logits = logits_function(config, jax_npu.dot_general)

    @jax.jit
    def losses(params: Params, tokens: Array, counts: Array) -> Array:
        inputs, targets = tokens[:, :-1], tokens[:, 1:]  # (B, N - 1)
        found = token_losses(logits(params, inputs), targets)  # (B, N - 1)
        return jnp.where(counts, found, 0).sum(axis=-1)

    return losses


def padded_size(num_tokens: int, config: GPT2Config) -> int:
    """At least 2: a window of one token predicts nothing, and has no row."""
    rounded = -(-num_tokens // MULTIPLE) * MULTIPLE
    return max(min(rounded, config.num_positions), num_tokens)


def batch_size(size: int, config: GPT2Config) -> int:
    """The power of two whose logits take about LOGITS_BYTES."""
    fitting = LOGITS_BYTES // (4 * size * config.vocab_size)
    return 1 << max(fitting.bit_length() - 1, 0)
