"""Packing changes no loss: a row's is that of its documents, each seen alone."""

import json
from functools import partial

import jax
import numpy as np
import pytest

from gpt2_flax.data import load_text, make_feed
from gpt2_flax.model import GPT2Config, init_params, logits_function
from gpt2_flax.tokenizers import load_tokenizer
from gpt2_flax.training.loss import token_losses
from gpt2_flax.training.step import token_loss

SEQ_LEN = 40
ROUNDING = 1e-5  # of f32 sums in another order
BYTES = load_tokenizer("bytes")
MODEL = GPT2Config(
    num_layers=2, num_heads=2, embed_dim=16, vocab_size=257, num_positions=SEQ_LEN
)


def documents(rng):
    """Prompts and answers of random letters, each with END before and after."""
    letters = list("abcdefgh ")
    for _ in range(12):
        yield tuple("".join(rng.choice(letters, n)) for n in rng.integers(1, 15, 2))


@pytest.mark.parametrize("has_mask", [False, True], ids=["texts", "answers"])
def test_a_batch_of_packed_rows_has_the_loss_of_its_documents_alone(tmp_path, has_mask):
    pairs = list(documents(np.random.default_rng(0)))
    records = [
        {"prompt": a, "completion": b} if has_mask else {"text": a + b}
        for a, b in pairs
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    text = load_text([str(path)], BYTES, validation=[str(path)])
    feed = make_feed(text, "documents", SEQ_LEN)
    rows = feed.train.rows(range(feed.train.num_rows))
    assert feed.train.num_rows < len(pairs)

    logits = logits_function(MODEL, jax.lax.dot_general)
    params = init_params(MODEL, 0)
    packed = jax.jit(partial(token_loss, logits=logits))(params, rows)

    jitted = jax.jit(logits)
    end, losses = BYTES.end_of_text, []
    for asked, answered in pairs:
        ids = np.array([end, *BYTES.encode(asked + answered), end])
        padded = np.zeros(SEQ_LEN, int)  # one shape, one compilation
        padded[: len(ids) - 1] = ids[:-1]
        alone = jitted(params, padded)[: len(ids) - 1]
        first = len(asked) if has_mask else 0
        losses.append(token_losses(alone, ids[1:])[first:])
    assert packed == pytest.approx(float(np.concatenate(losses).mean()), rel=ROUNDING)
