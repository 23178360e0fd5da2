"""One file of HTML that shows a run, or two side by side, without any network.

    text = page([run_record("scale", report, npu.trace(), configuration)])

The page carries its data as JSON, so that a later run can be set beside it.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xdna.simulator.page.record import FORMAT, run_record

__all__ = ["page", "run_of_page", "run_record"]

MAX_RUNS = 2
FOLDER = Path(__file__).parent
SCRIPTS = ("array.js", "timeline.js", "page.js")
DATA = re.compile(r'<script id="runs" type="application/json">(.*?)</script>', re.S)


def page(runs: Sequence[dict[str, Any]]) -> str:
    """The page of one record or of two.

    Raises:
      ValueError: for another number of records.
    """
    if not 1 <= len(runs) <= MAX_RUNS:
        raise ValueError(f"a page shows one run or two, got {len(runs)}")
    # Within a script, only this could end it.
    data = json.dumps(runs, separators=(",", ":")).replace("</", "<\\/")
    parts = {
        "TITLE": _escaped(" | ".join(run["title"] for run in runs)),
        "STYLE": _text("page.css"),
        "DATA": data,
        "SCRIPT": "\n".join(map(_text, SCRIPTS)),
    }
    return re.sub(r"@(\w+)@", lambda match: parts[match[1]], _text("page.html"))


def run_of_page(path: Path) -> dict[str, Any]:
    """The record of a page that shows one run, or the first of two.

    Raises:
      ValueError: if the file is no such page.
      OSError: if it cannot be read.
    """
    try:
        found = DATA.search(path.read_text(encoding="utf-8"))
        runs = json.loads(found[1]) if found else []
    except ValueError:  # no text, or no JSON
        runs = []
    if not runs:
        raise ValueError(f"{path} is not a page that 'simulate --report' wrote")
    run: dict[str, Any] = runs[0]
    if run.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {run.get('format')}, this version reads {FORMAT}; "
            "write it again with 'simulate --report'"
        )
    return run


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _escaped(text: str) -> str:
    for character, entity in ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"):
        text = text.replace(character, entity)
    return text
