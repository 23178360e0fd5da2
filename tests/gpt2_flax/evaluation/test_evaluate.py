"""Loss and perplexity of texts, against transformers by the recipe of its docs."""

import math

import jax
import numpy as np
import pytest

import jax_npu
from gpt2_flax.errors import InputError
from gpt2_flax.evaluation import losses
from gpt2_flax.evaluation.evaluate import Document, evaluate, evaluate_documents
from gpt2_flax.loading import GPT2
from gpt2_flax.model import GPT2Config, init_params
from gpt2_flax.tokenizers import load_tokenizer
from gpt2_flax.weights import save_weights

NUM_POSITIONS = 24
# Relative: f32 sums in two orders. bf16 products round their operands: 2^-8 at most,
# and averaged over tokens and channels far less.
TOLERANCES = {"xla": 2e-6, "host": 2e-3, "sim": 2e-3}
TEXTS = ["Na\u00efve caf\u00e9s serve " * 5, "b", "", "Short.", "x" * 70]


@pytest.fixture(scope="module")
def model():
    config = GPT2Config(2, 3, 36, vocab_size=257, num_positions=NUM_POSITIONS)
    params = jax.tree.map(lambda array: 4 * array, init_params(config, 0))
    return GPT2(config, params, load_tokenizer("bytes"))


def nats_by_the_recipe(folder, model, text, stride):
    """The sum of the losses of a text, and how many tokens have one.

    Source: transformers' documentation, "Perplexity of fixed-length models".
    """
    torch = pytest.importorskip("torch", reason="PyTorch is the reference")
    transformers = pytest.importorskip("transformers", reason="it has the reference")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    ids = torch.tensor([model.tokenizer.encode(text)])
    nats, count, previous = 0.0, 0, 0
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + NUM_POSITIONS, ids.shape[1])
        labels = ids[:, begin:end].clone()
        labels[:, : previous - end] = -100 if previous else labels[:, : previous - end]
        num_labels = int((labels[:, 1:] != -100).sum())
        if num_labels:
            with torch.no_grad():
                loss = theirs(ids[:, begin:end], labels=labels).loss
            nats, count = nats + float(loss) * num_labels, count + num_labels
        previous = end
        if end == ids.shape[1]:
            break
    return nats, count


@pytest.mark.parametrize("stride", [None, 5, NUM_POSITIONS])
def test_perplexity_by_strides_is_that_of_transformers(model, tmp_path, stride):
    save_weights(tmp_path, model.config, model.params)
    with jax_npu.backend("xla"):
        found = evaluate(model, TEXTS, stride=stride)
    assert [score.name for score in found.documents] == ["text 1", "text 4", "text 5"]
    for i, score in zip((0, 3, 4), found.documents):
        nats, count = nats_by_the_recipe(tmp_path, model, TEXTS[i], stride or 12)
        assert score.num_tokens == count
        assert score.loss == pytest.approx(nats / count, rel=TOLERANCES["xla"])
        assert score.perplexity == pytest.approx(
            math.exp(nats / count), rel=10 * TOLERANCES["xla"]
        )


def test_every_backend_finds_the_same_loss(model, backend):
    with jax_npu.backend("xla"):
        expected = evaluate(model, TEXTS).loss
    assert evaluate(model, TEXTS).loss == pytest.approx(
        expected, rel=TOLERANCES[backend]
    )


def test_all_documents_together_are_their_sum(model):
    found = evaluate(model, TEXTS)
    parts = found.documents
    assert found.num_tokens == sum(part.num_tokens for part in parts)
    assert found.loss == pytest.approx(
        np.average(
            [part.loss for part in parts], weights=[part.num_tokens for part in parts]
        )
    )
    # A token is a byte here.
    assert found.num_bytes == found.num_tokens
    assert found.bits_per_byte == pytest.approx(found.loss / math.log(2))


def test_bits_per_byte_are_of_the_bytes_that_tokens_stand_for(model):
    tokenizer = load_tokenizer()
    config = GPT2Config(1, 1, 4, num_positions=16)
    larger = GPT2(config, init_params(config, 0), tokenizer)
    text = "A caf\u00e9 serves several tokens."
    score = evaluate(larger, text)
    first = tokenizer.decode(tokenizer.encode(text)[:1])
    assert score.num_bytes == len(text.encode()) - len(first.encode())
    assert score.bits_per_byte * score.num_bytes == pytest.approx(
        score.loss * score.num_tokens / math.log(2)
    )


def test_only_tokens_that_count_have_a_loss(model, rng):
    tokens = rng.integers(0, 256, 60)
    counts = rng.random(60) < 0.4
    counts[0] = False
    parts = [
        evaluate_documents(model, [Document("", tokens, part)])
        for part in (None, counts, ~counts)
    ]
    assert parts[1].num_tokens == counts.sum()
    assert parts[0].nats == pytest.approx(parts[1].nats + parts[2].nats)


def test_batches_hold_logits_of_bounded_size(model, monkeypatch):
    whole = evaluate(model, TEXTS)
    shapes = []
    compiled = losses.compiled

    def watched(config):
        def run(params, tokens, counts):
            shapes.append(tokens.shape)
            return compiled(config)(params, tokens, counts)

        return run

    monkeypatch.setattr(losses, "compiled", watched)
    monkeypatch.setattr(losses, "LOGITS_BYTES", 2 * 4 * NUM_POSITIONS * 257)
    assert evaluate(model, TEXTS).nats == pytest.approx(whole.nats)
    assert set(shapes) == {(1, NUM_POSITIONS), (2, NUM_POSITIONS)} or set(shapes) == {
        (2, NUM_POSITIONS)
    }


@pytest.mark.parametrize("stride", [0, -1, NUM_POSITIONS + 1])
def test_an_impossible_stride_is_an_error(model, stride):
    with pytest.raises(InputError, match=f"--stride must be .* 24 .* got {stride}"):
        evaluate(model, "text", stride=stride)


@pytest.mark.parametrize("texts", [[], "", "a", ["", "b"]])
def test_a_text_without_a_token_to_predict_is_an_error(model, texts):
    with pytest.raises(InputError, match="a text of at least two tokens"):
        evaluate(model, texts)
