"""What helps against a message of the virtual NPU, by flags of `simulate`."""

import argparse

HINTS = {  # part of a message: what helps
    "a kernel that is not registered": (
        "give it with --kernels, a file in Python or C++"
    ),
    "is patched with argument": (
        "give an --in or --out for each argument of the stream, in its order"
    ),
    "deadlock:": (
        "--report run.html shows what happened until then, --dump FOLDER all locks"
    ),
}
FILES = ("--report", "--dump")  # of which a hint is idle once they are given


def with_hint(message: str, arguments: argparse.Namespace) -> str:
    """The message, and what helps if that is known and not done yet."""
    for part, hint in HINTS.items():
        given = arguments.report or arguments.dump
        if part in message and not (given and hint.startswith(FILES)):
            return f"{message}; {hint}"
    return message
