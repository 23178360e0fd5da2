"""Runs commands and draws what they print as an SVG picture of a terminal.

    .venv/bin/python docs/site/record.py docs/assets/finetune.svg 'make finetune'

Nothing is written by hand: the picture has the command and its real output. Of what is
longer, "..." stands for lines that match --leave-out, and for those between the first
--head and the last --tail.
"""

import argparse
import io
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

# rich's picture loads a font from elsewhere, which a page of ours does not.
REMOTE_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
# Lines of the machine, not of the program.
HIDDEN = (
    "WARNING",
    "make[",
    "unpack-xrt:",
    "python3 -m venv",
    ".venv/bin/python -m pip",
)
DOTS = ("...", "...")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("commands", nargs="+")
    parser.add_argument("--leave-out", metavar="REGEX", help='becomes "..."')
    parser.add_argument("--head", type=int, default=12)
    parser.add_argument("--tail", type=int, default=12)
    parser.add_argument("--columns", type=int, default=88)
    arguments = parser.parse_args()
    console = Console(
        record=True, width=arguments.columns, file=io.StringIO(), force_terminal=True
    )
    for command in arguments.commands:
        print(f"$ {command}", file=sys.stderr)
        text, code = output_of(command, arguments.columns)
        if code:
            print(text, f"{command} ended with exit code {code}", sep="\n")
            return 1
        console.print(Text(f"$ {command}", style="bold green"))
        for line in shortened(text, arguments):
            console.print(Text(line), soft_wrap=False, overflow="fold")
    svg = console.export_svg(title="jax-npu", theme=MONOKAI)
    svg = REMOTE_FONT.sub("", svg).replace("Fira Code", "ui-monospace")
    arguments.picture.write_text(svg, "utf-8")
    return 0


def output_of(command: str, columns: int) -> tuple[str, int]:
    done = subprocess.run(
        command,
        shell=True,
        env={**os.environ, "COLUMNS": str(columns)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout.replace(str(Path.cwd()), "."), done.returncode


def shortened(text: str, arguments: argparse.Namespace) -> list[str]:
    # The last state of a line that was printed over.
    lines = [line.split("\r")[-1].rstrip() for line in text.splitlines()]
    lines = [line for line in lines if not line.startswith(HIDDEN)]
    if arguments.leave_out:
        pattern = re.compile(arguments.leave_out)
        lines = ["..." if pattern.search(line) else line for line in lines]
        lines = [b for a, b in itertools.pairwise(["", *lines]) if (a, b) != DOTS]
    head, tail = arguments.head, arguments.tail
    if len(lines) <= head + tail:
        return lines
    return [*lines[:head], "...", *lines[len(lines) - tail :]]


if __name__ == "__main__":
    sys.exit(main())
