"""The parts of a design's text that the array does not need, blanked before it is read.

Blanks stand in for what is left out, so that line and column of all else stay as they
are. What is left out may be written in syntax that this package does not know.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

# The stream is what runs, so the sequence that it was made of is not read, nor what
# only a sequence, a host program or a simulator of the vendor's uses.
RUNTIME_SEQUENCES = ("aie.runtime_sequence", "aiex.runtime_sequence")
UNREAD = (
    *RUNTIME_SEQUENCES,
    "aie.bd_chain",
    "aie.debug",
    "aie.event",
    "aie.trace",
    "aie.trace.config",
    "aie.wire",
    "memref.global",
)
TOKEN = re.compile(
    r'"(?:[^"\\\n]|\\.)*"'  # a string, which may be the name of a generic operation
    r"|//[^\n]*"
    r"|(?P<bracket>[(){}\[\]])"
    r"|(?P<newline>\n)"
    r"|[%^#!@]?[A-Za-z_0-9$][\w$.\-]*"
)
RESULTS = re.compile(
    r"%[\w$.\-]+(?::\d+)?(?:[ \t]*,[ \t]*%[\w$.\-]+(?::\d+)?)*[ \t]*=\s*$"
)
DEVICE_NAME = re.compile(r'@("[^"]*"|[\w$.\-]+)|sym_name\s*=\s*"([^"]*)"')
DEFAULT_NAME = "main"
FUNCTION_NAME = re.compile(r"@([\w$.\-]+)")
OPENING = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


@dataclass(frozen=True)
class Span:
    """The characters [start, end) of an operation, from its results on."""

    name: str
    start: int
    end: int


def without_unread(text: str) -> str:
    """The text with blanks for the operations of `UNREAD` and functions not called."""
    text = _blanked(text, operations(text, UNREAD))
    functions = [
        span
        for span in operations(text, ("func.func",))
        if (name := FUNCTION_NAME.search(text, span.start, span.end))
        and not re.search(rf"\bcall\b[^\n]*@{re.escape(name[1])}\b", text)
    ]
    return _blanked(text, functions)


def with_one_device(text: str, wanted: str | None, name: str = "<input>") -> str:
    """The text with blanks for every `aie.device` but one.

    Args:
      wanted: the device's symbol; None takes the only one that has a tile.

    Raises:
      ValueError: if there is no such device, or several to choose from.
    """
    devices = {
        _device_name(text[span.start : span.end]): span
        for span in operations(text, ("aie.device",))
    }
    if not devices:
        return text
    names = ", ".join(devices)
    if wanted is None:
        placed = [
            key
            for key, span in devices.items()
            if operations(text[span.start : span.end], ("aie.tile",))
        ]
        if len(devices) > 1 and len(placed) != 1:
            raise ValueError(
                f"{name} has {len(devices)} designs: {names}; choose one with --design"
            )
        wanted = placed[0] if len(devices) > 1 else next(iter(devices))
    if wanted not in devices:
        raise ValueError(f"{name} has no design {wanted}; it has {names}")
    others = [span for key, span in devices.items() if key != wanted]
    return _blanked(text, others)


def operations(text: str, names: Collection[str]) -> list[Span]:
    """The outermost operations of these names, pretty or generic, in their order."""
    spans: list[Span] = []
    tokens = list(TOKEN.finditer(text))
    index = 0
    while index < len(tokens):
        token = tokens[index]
        name = token[0].strip('"')
        if name in names and _is_head(text, token):
            index = _next_operation(tokens, index) - 1
            start = token.start()
            if results := RESULTS.search(text, _line_start(text, start), start):
                start = results.start()
            end = tokens[index + 1].start() if index + 1 < len(tokens) else len(text)
            spans.append(Span(name, start, end))
        index += 1
    return spans


def _is_head(text: str, token: re.Match[str]) -> bool:
    """Whether the name stands where an operation's does, not in a string's place."""
    if token[0].startswith('"'):
        return text[token.end() :].lstrip().startswith("(")
    return True


def _next_operation(tokens: list[re.Match[str]], head: int) -> int:
    """The first token behind the operation whose name is at `head`.

    An operation ends with its line, unless a bracket is open there or its body has yet
    to begin: names with a body are followed by arguments that may fill several lines.
    """
    depth, has_body, previous = 0, False, tokens[head]
    needs_body = tokens[head][0].strip('"') in (*RUNTIME_SEQUENCES, "aie.device")
    for index in range(head + 1, len(tokens)):
        token = tokens[index]
        if bracket := token["bracket"]:
            depth += OPENING[bracket]
            if depth < 0:  # the end of the region around it
                return index
            has_body |= bracket == "}" and depth == 0
            # A generic operation's body is ({ ... }), its properties are <{ ... }>.
            has_body |= bracket == ")" and depth == 0 and previous[0] == "}"
        elif token["newline"] and depth == 0 and (has_body or not needs_body):
            return index
        if not token["newline"]:
            previous = token
    return len(tokens)


def _device_name(text: str) -> str:
    is_generic = text.lstrip().startswith('"')
    found = DEVICE_NAME.search(text, 0, text.find("({" if is_generic else "{"))
    if found is None:
        return DEFAULT_NAME
    return (found[1] or found[2]).strip('"')


def _line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


def _blanked(text: str, spans: Collection[Span]) -> str:
    return "".join(_pieces(text, spans))


def _pieces(text: str, spans: Collection[Span]) -> Iterator[str]:
    position = 0
    for span in spans:
        yield text[position : span.start]
        yield re.sub(r"[^\n]", " ", text[span.start : span.end])
        position = span.end
    yield text[position:]
