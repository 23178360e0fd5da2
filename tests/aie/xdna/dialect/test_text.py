"""Text in, text out: the samples are aie-opt 1.3's own and must come back unchanged."""

import pathlib
import re

import pytest

from xdna.dialect.text import parse_module, print_module

DATA = pathlib.Path(__file__).parents[1] / "data"
SAMPLES = ["sample.mlir", "sample.generic.mlir", "sample.lowered.generic.mlir"]


def read(name: str) -> str:
    return (DATA / name).read_text()


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("generic", [False, True])
def test_printed_sample_parses_to_the_same_module(name, generic):
    module = parse_module(read(name), name)
    again = parse_module(print_module(module, generic=generic))
    assert module.is_structurally_equivalent(again)
    assert print_module(again, generic=generic) == print_module(module, generic=generic)


def test_pretty_sample_prints_as_aie_opt_prints_it(normalised):
    printed = print_module(parse_module(read("sample.mlir")), generic=True)
    assert normalised(printed) == normalised(read("sample.generic.mlir"))


@pytest.mark.parametrize("name", SAMPLES[1:])
def test_generic_sample_survives_to_the_letter(name, normalised):
    printed = print_module(parse_module(read(name)), generic=True)
    assert normalised(printed) == normalised(read(name))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "<input>:1:1: expected a module, got nothing"),
        ("\n// a comment\n", "<input>:3:1: expected a module, got nothing"),
        ("garbage !!", "<input>:1:9: Expected suffix identifier after !"),
        ("module {} #", "<input>:1:11: Expected suffix identifier after #"),
    ],
)
def test_text_that_is_no_module_is_told(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_module(text)
