"""Pictures of who may import whom, drawn from the rules that the lint enforces.

A line `<!-- layers: NAME -->` of a page becomes a picture of the layers of `NAME`, a
package of pyproject.toml's import rules or a part of .ci/check-includes. For a package,
a table follows with the first line of each module.
"""

import ast
import re
import runpy
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"^<!-- layers: (\w+) -->$", re.MULTILINE)
FOLDERS = {"jax_npu": "jax_npu", "gpt2_flax": "gpt2_flax", "xdna": "aie/xdna"}
PARTS = {"xla_ffi": 0, "sim": 1}  # of .ci/check-includes

WIDTH, ROW, PAD, CHARACTER = 760, 40, 10, 8.2  # pixels


def with_pictures(markdown: str) -> str:
    return MARK.sub(lambda match: picture_and_table(match[1]), markdown)


def picture_and_table(name: str) -> str:
    rows = layers(name)
    text = picture(name, rows)
    if name in FOLDERS:
        table = ["| module | its one job |", "|---|---|"]
        for room in (room for row in rows for room in row):
            table.append(f"| `{room}` | {job(ROOT / FOLDERS[name] / room)} |")
        text += "\n\n" + "\n".join(table)
    return text


def layers(name: str) -> list[list[str]]:
    """The rooms of each layer, from the top down."""
    if name in PARTS:
        rooms = runpy.run_path(str(ROOT / ".ci/check-includes"))["ROOMS"]
        return [list(row) for row in rooms[PARTS[name]]]
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (found,) = (
        contract["layers"]
        for contract in rules["tool"]["importlinter"]["contracts"]
        if contract.get("containers") == [name]
    )
    return [[room.strip() for room in row.split("|")] for row in found]


def job(path: Path) -> str:
    """The first line of the module's docstring."""
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(source.read_text("utf-8"))) or ""
    paragraph = docstring.split("\n\n")[0].replace("\n", " ")
    return escape(paragraph, quote=False).replace("|", "\\|")


def picture(name: str, rows: list[list[str]]) -> str:
    """The layers as SVG: each may import those below, none above or beside it."""
    parts, y = [], PAD
    for row in rows:
        lines = wrapped(row)
        height = ROW * len(lines) + PAD
        parts.append(
            f'<rect class="row" x="1" y="{y}" width="{WIDTH - 2}" height="{height}"/>'
        )
        for number, line in enumerate(lines):
            x = PAD
            top = y + PAD + number * ROW
            for room in line:
                width = len(room) * CHARACTER + 2 * PAD
                parts.append(
                    f'<rect class="room" x="{x}" y="{top}" width="{width:.0f}" '
                    f'height="{ROW - PAD}" rx="4"/><text x="{x + PAD}" '
                    f'y="{top + 20}">{escape(room)}</text>'
                )
                x += round(width) + PAD
        y += height + PAD
    return (
        f'<div><svg class="layers" viewBox="0 0 {WIDTH} {y}" role="img" '
        f'aria-label="Layers of {name}: each may use those below it">'
        + "".join(parts)
        + "</svg></div>"
    )


def wrapped(row: list[str]) -> list[list[str]]:
    lines, x = [[]], PAD
    for room in row:
        width = len(room) * CHARACTER + 3 * PAD
        if x + width > WIDTH and lines[-1]:
            lines.append([])
            x = PAD
        lines[-1].append(room)
        x += width
    return lines
