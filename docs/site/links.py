"""Links of the repository as those of the site, and lists as its Markdown has them."""

import itertools
import os
import re
from posixpath import dirname, join, normpath, relpath

# Files outside of docs/, and the pages that show them.
PAGES_FROM_ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "howto/index.md",
    "examples/README.md": "examples.md",
    "aie/README.md": "architecture/aie.md",
    "aie/sim/README.md": "simulator.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")
CODE = re.compile(r"`[^`]*`")
FENCE = re.compile(r"^ *(```|~~~)")


def moved(markdown: str, source: str) -> str:
    """Links of the file `source` of the repository, as those of its page.

    Files that have no page are named without a link.
    """
    page = PAGES_FROM_ELSEWHERE.get(source, source.removeprefix("docs/"))

    def link(match: re.Match[str]) -> str:
        picture, text, target, anchor = match.groups(default="")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = normpath(join(dirname(source), target))
        if path in PAGES_FROM_ELSEWHERE:
            to = PAGES_FROM_ELSEWHERE[path]
        elif path.startswith("docs/"):
            to = path.removeprefix("docs/")
        elif os.path.exists(path):
            return text if text.startswith("`") else f"{text} (`{path}`)"
        else:
            return match[0]  # mkdocs reports it
        return f"{picture}[{text}]({relpath(to, dirname(page) or '.')}{anchor})"

    parts = itertools.groupby(lines(markdown), key=lambda line: line[1])
    texts = (("\n".join(line for line, _ in part), code) for code, part in parts)
    return "\n".join(text if code else LINK.sub(link, text) for text, code in texts)


def indented(markdown: str) -> str:
    """What continues an item of a list by two spaces, by four.

    Markdown of forges takes either, Python's only four.
    """
    text, in_item = [], False
    for line, _ in lines(markdown):
        if line and not line.startswith(" "):
            in_item = line.startswith(("- ", "* "))
        if line.lstrip().startswith("|"):  # bars in code, which forges want escaped
            line = CODE.sub(lambda code: code[0].replace("\\|", "|"), line)
        more = "  " if in_item and line.startswith("  ") else ""
        text.append(more + line)
    return "\n".join(text)


def lines(markdown: str):
    """Each line, and whether it is of a block of code."""
    in_fence = False
    for line in markdown.split("\n"):
        if FENCE.match(line):
            in_fence = not in_fence
            yield line, True
        else:
            yield line, in_fence or line.startswith("    ")
