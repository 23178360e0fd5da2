"""Runs the Python of a page in order, and writes what each block prints below it.

    .venv/bin/python docs/site/outputs.py README.md docs/tutorial.md

A block of `text` right behind one of `python` is its output. tests/test_docs.py runs
the same blocks and compares.
"""

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

BLOCK = re.compile(r"```python\n(.*?)```(\n\n```text\n(.*?)```)?", re.DOTALL)


def printed(page: str) -> Iterator[tuple[re.Match[str], str]]:
    """Each block of Python of a page, and what it prints; blocks share their names."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in BLOCK.finditer(page):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(block[1], "<page>", "exec"), names)
        yield block, output.getvalue()


def main() -> None:
    for path in map(Path, sys.argv[1:]):
        page = path.read_text("utf-8")
        for block, output in list(printed(page)):
            if block[2]:
                new = f"```python\n{block[1]}```\n\n```text\n{output}```"
                page = page.replace(block[0], new, 1)
        path.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
