"""The command `gpt2-flax`: picks the module of `gpt2-flax COMMAND` and runs its main.

Nothing else is imported before: --help is quick, and a missing extra is named.
"""

import argparse
import importlib
import sys

from gpt2_flax.allocator import restart_with_tuned_allocator

COMMANDS = {  # name: (module, summary)
    "train": ("gpt2_flax.commands.train", "train GPT-2 on a text"),
    "finetune": (
        "gpt2_flax.commands.finetune",
        "the same, with settings for the first two minutes",
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
# Those that gain from the tuned allocator.
LONG_COMMANDS = ("train", "finetune", "parity", "bench")
# The extra [gpt2] of pyproject.toml, as modules.
EXTRA = ("flax", "matplotlib", "optax", "orbax", "safetensors", "tiktoken")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="gpt2-flax", description="GPT-2 in Flax; COMMAND --help lists its flags."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    command = parser.parse_args(sys.argv[1:2]).command
    if command in LONG_COMMANDS:
        restart_with_tuned_allocator()
    try:
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


if __name__ == "__main__":
    sys.exit(main())
