"""Fuzzed text: the parser returns a module or an error of one line, and soon."""

import pathlib
import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdna.check.whole_design import check_design
from xdna.dialect.text import parse_module, print_module
from xdna.releases import SYNTAXES

DATA = pathlib.Path(__file__).parents[1] / "data"
SAMPLES = [path.read_text() for path in sorted(DATA.glob("*.mlir"))]
SAMPLES += [
    (DATA / "mlir_aie" / name).read_text()
    for name in ("sample.1.4.mlir", "sample.1.4.lowered.generic.mlir")
]
TOKEN = re.compile(r'"[^"\n]*"|[%^@#!]?[\w.$-]+|\s+|.', re.DOTALL)
TOKENS = [TOKEN.findall(sample) for sample in SAMPLES]
MAX_SECONDS = 5  # a sample takes a hundredth


def answer(text: str) -> str | None:
    """The error, after checking its form; None if the text is a module."""
    start = time.perf_counter()
    try:
        module = parse_module(text, "fuzz.mlir")
    except ValueError as error:
        module, message = None, str(error)
    assert time.perf_counter() - start < MAX_SECONDS
    if module is None:
        assert re.fullmatch(r"fuzz\.mlir:\d+:\d+: [^\n]+", message), message
        return message
    for syntax in SYNTAXES:
        again = parse_module(print_module(module, syntax=syntax))
        assert module.is_structurally_equivalent(again)
    for violation in check_design(module):
        assert "\n" not in str(violation)
    return None


def mutated(rng: random.Random) -> str:
    tokens = list(rng.choice(TOKENS))
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        i, j = rng.randrange(len(tokens)), rng.randrange(len(tokens))
        match rng.randrange(5):
            case 0:
                del tokens[i : i + rng.choice([1, 1, 5, 50])]
            case 1:
                tokens[i:i] = tokens[i : i + rng.choice([1, 1, 5, 50])]
            case 2:
                tokens[i] = tokens[j]
            case 3:
                tokens[i], tokens[j] = tokens[j], tokens[i]
            case 4:
                tokens[i] = rng.choice(
                    ["-1", "99999999999999999999", "0x", '"', "{", "}", "?", "é", "\0"]
                )
    return "".join(tokens)


@pytest.mark.parametrize("seed", range(8))
def test_mutated_samples(seed):
    rng = random.Random(seed)
    answers = [answer(mutated(rng)) for _ in range(50)]
    assert any(answers)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text(text):
    answer(text)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted({t for ts in TOKENS for t in ts})), max_size=30))
def test_tokens_in_any_order(tokens):
    answer(" ".join(tokens))


@pytest.mark.parametrize("sample", SAMPLES)
def test_truncated_samples(sample):
    rng = random.Random(0)
    for _ in range(15):
        assert answer(sample[: rng.randrange(len(sample) // 2)])


@pytest.mark.parametrize(
    "text",
    [
        "module {" * 5000,
        "module {" * 5000 + "}" * 5000,
        "aie.device(npu1) {" * 2000,
        "aie.device(npu1) {%t = aie.tile(0, 2)\naie.core(%t) {" + "scf.if %c {" * 3000,
        '"' + "[" * 10000,
        '"builtin.module"() {a = ' + "[" * 10000 + "]" * 10000,
        '"builtin.module"() {a = ' + "tuple<" * 10000,
        "module attributes {a = " + "{a = " * 3000,
        "{" * 100000,
        "/" * 100000,
        "module {} loc(" * 1000,
    ],
    ids=lambda text: f"{text[:12]}...{len(text)}",
)
def test_deep_nesting_is_one_line(text):
    assert answer(text)


def test_error_names_line_and_column():
    text = "module {\n  aie.device(npu1) {\n    %t = aie.tiel(0, 0)\n  }\n}\n"
    error = answer(text)
    assert error is not None
    assert error.startswith("fuzz.mlir:3:")
    assert "aie.tiel" in error
