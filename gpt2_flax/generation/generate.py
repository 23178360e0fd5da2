"""Texts that a model continues, whole or while they grow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import jax_npu
from gpt2_flax.errors import InputError
from gpt2_flax.generation.choice import Rules
from gpt2_flax.generation.generator import Generator
from gpt2_flax.generation.rounded import operand_dtype
from gpt2_flax.generation.text import TextStream
from gpt2_flax.loading import GPT2
from gpt2_flax.model import SEEDS
from gpt2_flax.tokenizers import Tokenizer

NUM_TOKENS = 100
# One for each model that is still in use, by backend and type of operands.
GENERATORS: WeakKeyDictionary[GPT2, dict[tuple[Any, ...], Generator]]
GENERATORS = WeakKeyDictionary()


@dataclass(frozen=True)
class Sampling:
    """How many texts grow how far, from which seed, by which rules, until what."""

    num_tokens: int = NUM_TOKENS
    num_samples: int = 1
    seed: int = 0
    stop: Sequence[str] = ()
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        for name in ("num_tokens", "num_samples"):
            if getattr(self, name) < 1:
                flag = "--" + name.replace("_", "-")
                raise InputError(
                    f"{flag} must be at least 1, got {getattr(self, name)}."
                )
        if self.seed not in SEEDS:
            raise InputError(f"--seed must be 0 to 2^63 - 1, got {self.seed}.")
        if "" in self.stop:
            raise InputError("--stop must not be empty; leave it out for none.")


def generate(
    model: GPT2,
    prompt: str = "",
    *,
    num_tokens: int = NUM_TOKENS,
    num_samples: int = 1,
    temperature: float = Rules.temperature,
    top_k: int = Rules.top_k,
    top_p: float = Rules.top_p,
    repetition_penalty: float = Rules.repetition_penalty,
    stop: str | Sequence[str] = (),
    seed: int = 0,
) -> list[str]:
    """The texts that follow `prompt`, one for each sample, without it.

    Each has at most `num_tokens` tokens, and ends before the text `stop`, or the first
    of several, or where the model ends it. Without a prompt, a text begins.

    Args:
      temperature: divides the logits; 0 takes the likeliest token.
      top_k: how many of the likeliest tokens to choose from; 0 is all.
      top_p: the likeliest tokens that together have this probability are chosen from.
      repetition_penalty: divides the logits of tokens that occurred; 1 is none.
      seed: the same seed gives the same texts on the same backend.

    Raises:
      InputError: an argument is out of its range.
    """
    rules = Rules(temperature, top_k, top_p, repetition_penalty)
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    sampling = Sampling(num_tokens, num_samples, seed, stops, rules)
    texts = [""] * num_samples
    for pieces in grow(make_generator(model), model.tokenizer, prompt, sampling):
        texts = [text + piece for text, piece in zip(texts, pieces)]
    return texts


def make_generator(model: GPT2) -> Generator:
    """The model's generator on the backend in force; its weights are rounded once."""
    kept = GENERATORS.setdefault(model, {})
    key = jax_npu.resolve_backend(), operand_dtype(model.config)
    if key not in kept:
        num_tokens = model.tokenizer.num_tokens
        kept[key] = Generator(model.config, model.params, num_tokens)
    return kept[key]


def grow(
    generator: Generator, tokenizer: Tokenizer, prompt: str, sampling: Sampling
) -> Iterator[list[str]]:
    """Yields what each of the samples has grown by, a token or less at a time."""
    ids = tokenizer.encode(prompt) if prompt else beginning(tokenizer)
    tokens = generator.tokens(
        ids,
        sampling.rules,
        sampling.num_tokens,
        sampling.num_samples,
        sampling.seed,
    )
    streams = [
        TextStream(tokenizer, sampling.stop) for _ in range(sampling.num_samples)
    ]
    for chosen in tokens:
        yield [stream.add(int(token)) for stream, token in zip(streams, chosen)]
        if all(stream.is_finished for stream in streams):
            return
    yield [stream.end() for stream in streams]


def beginning(tokenizer: Tokenizer) -> list[int]:
    """What comes before a text: the end of another; a new line where there is none."""
    if tokenizer.end_of_text is not None:
        return [tokenizer.end_of_text]
    try:
        return tokenizer.encode("\n")
    except InputError:
        raise InputError(
            f"a text needs a beginning, and {tokenizer.name} have neither a token that "
            "ends texts nor one for a new line; give a --prompt."
        ) from None
