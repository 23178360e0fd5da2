"""Which token comes next: the rules of sampling, as transformers applies them.

In its order: repetition penalty, temperature, top k, top p (its logits processors of
these names), then a draw from softmax.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from gpt2_flax.errors import InputError


@dataclass(frozen=True)
class Rules:
    temperature: float = (
        0.8  # below 1: a small model's unlikely tokens mostly are wrong
    )
    top_k: int = 40  # as in the samples of the GPT-2 paper; 0 is all
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise InputError(
                "--temperature must be at least 0 and finite, got "
                f"{self.temperature}; 0 takes the likeliest token."
            )
        if self.top_k < 0:
            raise InputError(
                f"--top-k must be at least 1, or 0 for all tokens, got {self.top_k}."
            )
        if not 0 < self.top_p <= 1:
            raise InputError(
                f"--top-p must be above 0 and at most 1, got {self.top_p}; 1 keeps all."
            )
        if not 0 < self.repetition_penalty < math.inf:
            raise InputError(
                "--repetition-penalty must be above 0 and finite, got "
                f"{self.repetition_penalty}; 1 is none."
            )


def choose(scores: Array, seen: Array | None, keys: Array, rules: Rules) -> Array:
    """A token for each text, (B,), from its logits (B, V) with its own random key (B,).

    `seen` (B, V) marks the tokens of each text, and is only needed for a penalty.
    """
    if seen is not None:
        scores = penalize(scores, seen, rules.repetition_penalty)
    if rules.temperature == 0:
        return jnp.argmax(scores, axis=-1)
    scores, tokens = candidates(scores / rules.temperature, rules)  # both (B, k)
    drawn = jax.vmap(jax.random.categorical)(keys, scores)  # (B,), below k
    return jnp.take_along_axis(tokens, drawn[:, None], axis=-1)[:, 0]


def penalize(scores: Array, seen: Array, penalty: float) -> Array:
    """Divides the scores of tokens that occurred, or multiplies them where negative.

    Source: CTRL, arXiv 1909.05858, section 4.1; the case of negative scores is from
    transformers.
    """
    penalized = jnp.where(scores < 0, scores * penalty, scores / penalty)
    return jnp.where(seen, penalized, scores)


def candidates(scores: Array, rules: Rules) -> tuple[Array, Array]:
    """The scores (B, k) that top k and top p leave, the best first, and their tokens.

    What top p takes out has score -inf.
    """
    num_tokens = scores.shape[-1]
    if rules.top_k == 0 and rules.top_p == 1:
        everyone = jnp.arange(num_tokens)
        return scores, jnp.broadcast_to(everyone, scores.shape)
    k = min(rules.top_k or num_tokens, num_tokens)
    best, tokens = jax.lax.top_k(scores, k)  # both (B, k), the best first
    if rules.top_p < 1:
        # A token stays while those before it have less than top_p of all.
        shares = jax.nn.softmax(best)
        before = jnp.cumsum(shares, axis=-1) - shares
        best = jnp.where(before < rules.top_p, best, -jnp.inf)
    return best, tokens
