"""The text of a run and its tokenizer, as the flags and the run's folder say."""

from pathlib import Path

from gpt2_flax.data import Batch, Feed, characters_of, load_text, make_feed
from gpt2_flax.errors import InputError
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.hf.hub import folder_of
from gpt2_flax.run import TOKENIZER, keep_tokenizer, read_run
from gpt2_flax.tokenizers import Tokenizer, load_tokenizer
from gpt2_flax.tokenizers.choice import CHARS, GPT2


def choose_tokenizer(config: TrainConfig) -> Tokenizer:
    """The tokenizer of the flags; without one, that of --weights, else GPT-2's."""
    if config.tokenizer == CHARS:
        return characters_of([*config.data, *config.validation])
    if config.tokenizer or not config.weights:
        return load_tokenizer(config.tokenizer or GPT2)
    return load_tokenizer(folder_of(config.weights))


def tokenizer_of_run(out: Path, config: TrainConfig) -> Tokenizer:
    """The tokenizer that the run in `out` began with."""
    known = read_run(out).get("tokenizer")
    if (out / TOKENIZER).is_dir() or known is None:  # None: older than the record
        return load_tokenizer(out)
    tokenizer = choose_tokenizer(config)  # the process ended before it was saved
    if tokenizer.fingerprint != known:
        raise InputError(
            f"{out} lacks its tokenizer, and that of the flags is another now; restore "
            "its files, or start over with another --out or --overwrite."
        )
    keep_tokenizer(out, tokenizer.save)
    return tokenizer


def load_feed(config: TrainConfig, tokenizer: Tokenizer, out: Path | None) -> Feed:
    """The batches of the text; `out` is the folder of a run that goes on."""
    keys = read_run(out).get("text_keys", []) if out else []
    text = load_text(config.data, tokenizer, config.validation, keys)
    return make_feed(text, config.batches, config.seq_len)


def train_batch(feed: Feed, config: TrainConfig, step: int) -> Batch:
    """The batch of `step`, which is 0 for the first."""
    return feed.batch(config.batch_size, config.seed, step)
