"""`jax-npu completion`: a script with which the shell completes commands and flags."""

import argparse
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")
EXTRA = "pip install 'jax-npu[completion]'"


def add_completion_command(commands: Any) -> None:
    parser = commands.add_parser(
        "completion",
        help="print a script that completes commands and flags in a shell",
        description="Prints a script for the shell; for bash, keep it with: jax-npu "
        "completion bash > ~/.local/share/bash-completion/completions/jax-npu",
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(
        command=lambda arguments: print(
            script_of(commands.completed(), arguments.shell)
        )
    )


def script_of(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that shtab writes for a parser with all its commands.

    Raises:
      ValueError: if shtab is not installed.
    """
    try:
        import shtab
    except ModuleNotFoundError:
        raise ValueError(f"completion needs shtab: {EXTRA}") from None
    return str(shtab.complete(parser, shell=shell))
