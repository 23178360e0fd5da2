"""Text of designs, made comparable."""

import re

import pytest


@pytest.fixture
def normalised():
    """A function of text: its lines, values and blocks numbered by appearance."""
    return _normalised


def _normalised(text: str) -> list[str]:
    names: dict[str, dict[str, int]] = {"%": {}, "^": {}}

    def number(match: re.Match) -> str:
        kind = names[match[1]]
        return f"{match[1]}{kind.setdefault(match[2], len(kind))}"

    lines = []
    for line in text.splitlines():
        line = re.sub(r"\s*//.*", "", line).strip()
        if line:
            lines.append(re.sub(r"([%^])([\w.$-]+)", number, line))
        if line.endswith("({"):
            names["^"] = {}  # blocks are named per region
    return lines
