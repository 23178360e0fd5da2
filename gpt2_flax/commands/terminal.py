"""Writing a model's text to stdout as it comes."""

import re
import sys

# Control characters, but for a tab and a new line: a terminal would obey them.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
REPLACEMENT = "\ufffd"


def write(text: str) -> None:
    """Writes what stdout can encode of a text, at once; the rest is replaced.

    On a terminal, control characters are replaced too.
    """
    out = sys.stdout
    if out.isatty():
        text = CONTROLS.sub(REPLACEMENT, text)
    encoding = out.encoding or "utf-8"
    out.write(text.encode(encoding, "replace").decode(encoding))
    out.flush()
