"""`gpt2-flax sample --interactive`: prompts from the terminal, one a line."""

import sys
from contextlib import suppress
from dataclasses import replace

from gpt2_flax.commands.terminal import write
from gpt2_flax.errors import InputError
from gpt2_flax.generation.generate import Sampling, grow, make_generator
from gpt2_flax.loading import GPT2
from gpt2_flax.model import SEEDS

HELP = (
    "Each line is a prompt, and an empty one goes on with the last text. Ctrl-C ends "
    "a text, Ctrl-D the session.\n"
)


def converse(model: GPT2, sampling: Sampling) -> None:
    """Continues one line after another; each turn has the next seed."""
    generator = make_generator(model)
    if sys.stdin.isatty():
        with suppress(ImportError):  # with it, input() lets lines be edited
            import readline  # noqa: F401
    write(HELP)
    text = ""
    while (line := read_line()) is not None:
        prompt = line or text
        write(prompt)
        text = prompt
        try:
            for (piece,) in grow(generator, model.tokenizer, prompt, sampling):
                write(piece)
                text += piece
        except InputError as e:  # of this prompt; the next may be right
            write(f"{e}")
        except KeyboardInterrupt:
            pass
        write("\n")
        sampling = replace(sampling, seed=(sampling.seed + 1) % SEEDS.stop)


def read_line() -> str | None:
    """The next line without its end; None where there are no more."""
    try:
        return input("> ")
    except (EOFError, KeyboardInterrupt):
        write("\n")
        return None
