"""Multiple choice in HellaSwag's format: which ending is chosen, and damaged files."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

import jax_npu
from gpt2_flax.errors import InputError
from gpt2_flax.evaluation import choices
from gpt2_flax.evaluation.choices import answer, parse_question, read_questions
from gpt2_flax.loading import GPT2
from gpt2_flax.model import GPT2Config, init_params, logits_function
from gpt2_flax.tokenizers import load_tokenizer

QUESTION = {"ctx": "A man", "endings": ["sits.", "stands up."], "label": 1}


@pytest.fixture(scope="module")
def model():
    config = GPT2Config(1, 2, 24, vocab_size=257, num_positions=32)
    params = jax.tree.map(lambda array: 8 * array, init_params(config, 0))
    return GPT2(config, params, load_tokenizer("bytes"))


@pytest.fixture
def questions(rng):
    def text(longest):
        return "".join(map(chr, rng.integers(97, 123, rng.integers(1, longest))))

    return [
        parse_question(
            f"line {i}",
            json.dumps(
                {
                    "ctx": text(40),
                    "endings": [text(9) for _ in range(4)],
                    "label": str(i % 4),
                }
            ).encode(),
        )
        for i in range(30)
    ]


@pytest.fixture
def log_likelihood(model):
    """A function: that of an ending's bytes after a space, from one text alone."""
    size = model.config.num_positions
    logits = jax.jit(logits_function(model.config, jax.lax.dot_general))

    def of(context, ending):
        tokens = list(f"{context} {ending}".encode())[-size:]
        padded = np.array(tokens + [0] * (size - len(tokens)))
        scores = np.asarray(jax.nn.log_softmax(logits(model.params, padded)))  # (T, V)
        places = range(len(tokens) - len(ending) - 1, len(tokens))
        return sum(float(scores[i - 1, tokens[i]]) for i in places)

    return of


def test_the_likeliest_ending_is_chosen(model, questions, log_likelihood):
    with jax_npu.backend("xla"):
        found = answer(model, questions)
    by_sum, by_token, by_byte = [], [], []
    for question in questions:
        sums = [log_likelihood(question.context, e) for e in question.endings]
        for rule, extra in ((by_token, 1), (by_byte, 0)):  # the space is a token
            means = [s / (len(e) + extra) for s, e in zip(sums, question.endings)]
            rule.append(np.argmax(means) == question.label)
        by_sum.append(np.argmax(sums) == question.label)
    assert found.num_questions == 30
    assert found.by_sum == pytest.approx(np.mean(by_sum))
    assert found.by_token == pytest.approx(np.mean(by_token))
    assert found.by_byte == pytest.approx(np.mean(by_byte))
    assert found.by_sum != found.by_byte


def test_losses_are_compared_as_sums_by_token_and_by_byte(model, monkeypatch):
    endings = ["a b c d e f", "extraordinary"]  # after a space: 6 tokens and 1
    question = parse_question("", json.dumps(QUESTION | {"endings": endings}).encode())
    losses = {(0, 0): 10.0, (0, 1): 9.0}
    monkeypatch.setattr(
        choices,
        "window_losses",
        lambda _, windows: [(k, losses[k]) for k, _ in windows],
    )
    config = replace(model.config, vocab_size=50257)
    found = answer(GPT2(config, {}, load_tokenizer()), [question])
    assert (found.by_sum, found.by_token, found.by_byte) == (1, 0, 1)


def test_questions_are_read_from_lines(tmp_path):
    path = tmp_path / "questions.jsonl"
    more = {**QUESTION, "label": "0", "activity_label": "Standing", "ind": 3}
    path.write_text(f"\ufeff{json.dumps(QUESTION)}\n\n{json.dumps(more)}\n")
    first, second = read_questions(path)
    assert (first.context, first.endings) == ("A man", ["sits.", "stands up."])
    assert (first.label, second.label) == (1, 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "is empty"),
        (b"{", "line 1 is not JSON"),
        (b"\xff\n", "line 1 is not JSON"),
        (b"[" * 9999, "line 1 is not JSON"),
        (b"[1]", "line 1 should be a JSON object"),
        ({"ctx": 1}, "a text as ctx, got 1"),
        ({"ctx": " "}, "a text as ctx, got ' '"),
        ({"endings": "abcd"}, "a list of two texts or more as endings, got 'abcd'"),
        ({"endings": ["a"]}, "a list of two texts or more as endings"),
        ({"endings": ["a", 2]}, "a list of two texts or more as endings"),
        ({"endings": ["a", ""]}, "a list of two texts or more as endings"),
        ({"label": ""}, "as label, got ''; a test set without labels"),
        ({"label": None}, "as label, got None"),
        ({"label": True}, "as label, got True"),
        ({"label": -1}, "as label, got -1"),
        ({"label": 2}, "has 2 endings, so label must be below, got 2"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, line, message):
    path = tmp_path / "questions.jsonl"
    is_change = isinstance(line, dict)
    path.write_bytes(json.dumps(QUESTION | line).encode() if is_change else line)
    with pytest.raises(InputError) as error:
        read_questions(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_absent_file_and_an_ending_that_is_too_long_are_errors(tmp_path, model):
    with pytest.raises(InputError, match="--choices needs a file"):
        read_questions(tmp_path)
    long = QUESTION | {"endings": ["a", 31 * "b"]}
    with pytest.raises(InputError, match=r"ending 1 has 32 tokens, .* sees 32"):
        answer(model, [parse_question("line 7", json.dumps(long).encode())])
