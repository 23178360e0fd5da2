"""Locations of MLIR text, which no design needs: taken out before it is parsed.

mlir-aie 1.4 writes its lowered text with `loc(...)` behind every operation and
argument, and names most of them in aliases at the end of the file, behind their uses.
"""

import re

# A string or a comment may hold anything; `loc(` and the alias of one begin a location.
_TOKENS = re.compile(
    r'"(?:[^"\\\n]|\\.)*+"|//[^\n]*|(?P<location>(?:#loc\w*\s*=\s*)?(?<![\w.$-])loc\()'
)
_PARENTHESES = re.compile(r'"(?:[^"\\\n]|\\.)*+"|[()]')
_NOT_LINES = re.compile(r"[^\n]")


def without_locations(text: str) -> str:
    """The text with blanks instead of its locations, so that positions stay.

    A location that does not end is left for the parser to complain about.
    """
    if "loc(" not in text:
        return text
    parts: list[str] = []
    done = 0
    while match := _TOKENS.search(text, done):
        parts.append(text[done : match.start()])
        done = match.end()
        if match["location"]:
            end = _end(text, done)
            if end is None:
                return text
            parts.append(_NOT_LINES.sub(" ", text[match.start() : end]))
            done = end
        else:
            parts.append(match[0])
    parts.append(text[done:])
    return "".join(parts)


def _end(text: str, start: int) -> int | None:
    """Behind the parenthesis that closes the one before `start`."""
    depth = 1
    for match in _PARENTHESES.finditer(text, start):
        if match[0] == "(":
            depth += 1
        elif match[0] == ")":
            depth -= 1
            if depth == 0:
                return match.end()
    return None
