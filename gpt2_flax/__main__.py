"""The command `gpt2-flax`: picks the module of `gpt2-flax COMMAND` and runs its main.

Nothing else is imported before: --help is quick, and a missing extra is named.
"""

import argparse
import importlib
import sys
from difflib import get_close_matches

from gpt2_flax.allocator import restart_with_tuned_allocator
from gpt2_flax.flags.parsing.parser import Parser

COMMANDS = {  # name: (module, summary)
    "train": ("gpt2_flax.commands.train", "train GPT-2 on a text"),
    "finetune": (
        "gpt2_flax.commands.finetune",
        "the same, with settings for two minutes on two cores",
    ),
    "sample": ("gpt2_flax.commands.sample", "continue a text with a trained run"),
    "parity": (
        "gpt2_flax.commands.parity",
        "test whether a backend trains as another does",
    ),
    "eval": ("gpt2_flax.commands.evaluate", "loss and perplexity of texts, choices"),
    "bench": (
        "gpt2_flax.bench.command",
        "time training steps on backends side by side",
    ),
    "plan": (
        "gpt2_flax.commands.plan",
        "memory, time and energy of a run, before it",
    ),
    "export": ("gpt2_flax.commands.export", "write a run as a Hugging Face directory"),
}
GROUPS = {  # in the order of --help
    "a model of your own text:": ("train", "finetune", "plan"),
    "a model that there is:": ("sample", "eval", "export"),
    "backends side by side:": ("bench", "parity"),
}
COMPLETION = "print a script that completes commands and flags in a shell"
GUIDE = """\
gpt2-flax finetune           a small model of Python's documentation, in minutes
gpt2-flax finetune --weights openai-community/gpt2 --data notes/
                             the released GPT-2, on texts of yours
gpt2-flax plan --model gpt2  memory, time and energy, before a run
gpt2-flax sample --out run   what a run writes
gpt2-flax --help             all commands; COMMAND --help, its flags
"""
# Those that gain from the tuned allocator.
LONG_COMMANDS = ("train", "finetune", "parity", "bench")
# The extra [gpt2] of pyproject.toml, as modules.
EXTRA = ("flax", "matplotlib", "optax", "orbax", "safetensors", "tiktoken")


def main() -> int:
    if len(sys.argv) < 2:
        print(GUIDE, end="")
        return 0
    command = _chosen(sys.argv[1])
    if command in LONG_COMMANDS:
        restart_with_tuned_allocator()
    try:
        if command == "completion":
            return _completion(sys.argv[2:])
        module = importlib.import_module(COMMANDS[command][0])
    except ModuleNotFoundError as e:
        if (e.name or "").split(".")[0] not in EXTRA:
            raise
        print(
            f"gpt2-flax: {e.name} is not installed; gpt2-flax needs the extra [gpt2]: "
            "pip install 'jax-npu[gpt2]'",
            file=sys.stderr,
        )
        return 2
    code: int = module.main(sys.argv[2:])
    return code


def _chosen(first: str) -> str:
    """The command that the first argument names; ends the process for another."""
    parser = Parser(
        prog="gpt2-flax",
        usage="gpt2-flax COMMAND ...",
        description=f"GPT-2 in Flax. COMMAND --help lists its flags.\n\n{_listed()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = (*COMMANDS, "completion")
    if not first.startswith("-") and first not in names:
        near = get_close_matches(first, names, 1)
        meant = f"; did you mean {near[0]}" if near else ""
        parser.error(f"there is no command {first!r}{meant}")
    parser.add_argument("command", metavar="COMMAND", help=argparse.SUPPRESS)
    return str(parser.parse_args([first]).command)


def _listed() -> str:
    lines = []
    for title, names in GROUPS.items():
        lines += [title, *(f"  {name:11}{COMMANDS[name][1]}" for name in names)]
    return "\n".join([*lines, "the shell:", f"  {'completion':11}{COMPLETION}"])


def _completion(argv: list[str]) -> int:
    """Prints a script with which a shell completes the commands and their flags."""
    from jax_npu.commands.shell.completion import SHELLS, script_of

    parser = Parser(prog="gpt2-flax completion", description=f"{COMPLETION}.")
    parser.add_argument("shell", choices=SHELLS)
    shell = parser.parse_args(argv).shell
    every = Parser(prog="gpt2-flax")
    commands = every.add_subparsers()
    for name, (module, summary) in COMMANDS.items():
        of_command = importlib.import_module(module).make_parser()
        commands.add_parser(name, help=summary, parents=[of_command], add_help=False)
    try:
        print(script_of(every, shell))
    except ValueError as e:
        print(f"gpt2-flax: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
