"""Growing texts token by token: the prompt in one call, then a call for each token.

A text longer than the model's positions goes on from its last half of them, which is
computed anew, at positions from 0 on: once for every num_positions / 2 tokens.

Shapes: B texts, N tokens of each, V the size of the vocabulary.
"""

from collections.abc import Iterator, Sequence
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

import jax_npu
from gpt2_flax.errors import InputError
from gpt2_flax.generation.cached import (
    Cache,
    CachedLogits,
    cached_logits_function,
    empty_cache,
)
from gpt2_flax.generation.choice import Rules, choose
from gpt2_flax.generation.rounded import operand_dtype, round_weights
from gpt2_flax.model import GPT2Config, Params

# Prompts are padded, and caches allocated, to a multiple: few programs are compiled.
MULTIPLE = 64


class Generator:
    """A model that continues texts on the backend now in force.

    `num_tokens` is the number of the tokenizer's tokens; the rest of the vocabulary is
    padding, and never chosen.
    """

    def __init__(self, config: GPT2Config, params: Params, num_tokens: int) -> None:
        self._num_tokens = num_tokens
        self._backend = jax_npu.resolve_backend()
        self._dtype = operand_dtype(config)
        self._config, self._params = round_weights(config, params)

    def tokens(
        self,
        prompt: Sequence[int],
        rules: Rules,
        length: int,
        num_samples: int = 1,
        seed: int = 0,
    ) -> Iterator[NDArray[np.int32]]:
        """Yields the next token of each of the samples, (B,), `length` times.

        Sample i of a seed does not depend on how many samples there are.

        Raises:
          InputError: the prompt is empty.
        """
        if not prompt:
            raise InputError("a prompt must have at least one token, got none.")
        keys = sample_keys(seed, num_samples)  # (B,)
        seen = None
        if rules.repetition_penalty != 1:
            seen = np.zeros((num_samples, self._num_tokens), bool)
            seen[:, list(prompt)] = True
        texts = np.tile(np.array(prompt, np.int32), (num_samples, 1))  # (B, N)
        slots: Cache = ()
        num_filled = 0  # tokens in the cache
        for i in range(length):
            if num_filled == num_slots(slots):
                scores, slots, num_filled = self._prefill(texts, length - i, i == 0)
            else:
                scores, slots = self._compute(slots, texts[:, -1:], num_filled, 0)
                num_filled += 1
            tokens, seen = pick(scores, seen, keys, i, rules, self._num_tokens)
            chosen = np.asarray(tokens)  # (B,)
            texts = np.concatenate([texts, chosen[:, None]], axis=1)
            yield chosen

    def _prefill(
        self, texts: NDArray[np.int32], length: int, are_equal: bool
    ) -> tuple[Array, Cache, int]:
        """Computes the texts (B, N) in a new cache, large enough for `length` more.

        Returns the logits (B, V) of their last tokens, the cache, and the number of
        tokens in it. Of texts that are equal, only one is computed.
        """
        most = self._config.num_positions
        if texts.shape[1] > most:
            texts = texts[:, -max(most // 2, 1) :]
        num_texts, n = texts.shape
        rows = texts[:1] if are_equal else texts
        slots = empty_cache(
            self._config,
            len(rows),
            min(rounded_up(n + length - 1), most),
            self._dtype,
        )
        padded = np.zeros((len(rows), min(rounded_up(n), num_slots(slots))), np.int32)
        padded[:, :n] = rows
        scores, slots = self._compute(slots, padded, 0, n - 1)
        if len(rows) < num_texts:
            repeat = partial(jnp.repeat, repeats=num_texts, axis=0)
            scores, slots = jax.tree.map(repeat, (scores, slots))
        return scores, slots, n

    def _compute(
        self, slots: Cache, tokens: NDArray[np.int32], start: int, last: int
    ) -> tuple[Array, Cache]:
        with jax_npu.backend(self._backend):
            return compiled(self._config)(
                self._params, slots, tokens, np.int32(start), np.int32(last)
            )


@cache
def compiled(config: GPT2Config) -> CachedLogits:
    """The model over a cache, which each call donates. jit knows backends apart."""
    logits = cached_logits_function(config, jax_npu.dot_general)
    program: CachedLogits = jax.jit(logits, donate_argnums=1)
    return program


@partial(jax.jit, static_argnums=(4, 5))
def pick(
    scores: Array,
    seen: Array | None,
    keys: Array,
    i: int,
    rules: Rules,
    num_tokens: int,
) -> tuple[Array, Array | None]:
    """Token i of each text, (B,), and the tokens that each has seen with it, (B, V)."""
    keys = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
    tokens = choose(scores[:, :num_tokens], seen, keys, rules).astype(jnp.int32)
    if seen is not None:
        seen = seen.at[jnp.arange(len(tokens)), tokens].set(True)
    return tokens, seen


def sample_keys(seed: int, num_samples: int) -> Array:
    fold_in = partial(jax.random.fold_in, jax.random.key(seed))
    keys: Array = jax.vmap(fold_in)(jnp.arange(num_samples))
    return keys


def num_slots(slots: Cache) -> int:
    return slots[0][0].shape[1] if slots else 0


def rounded_up(n: int) -> int:
    return -(-n // MULTIPLE) * MULTIPLE
