"""A field of the run's configuration that is also a flag, and what it must hold."""

import argparse
from dataclasses import MISSING, Field, field
from typing import Any

from gpt2_flax.errors import InputError
from gpt2_flax.flags.parsing.help import set_brief

METAVARS: dict[type, str] = {int: "N", float: "X"}  # others: the flag's own name


def flag(
    default: Any,
    why: str,
    kind: type | None = None,
    *,
    brief: str | None = None,
    before: Any = MISSING,
    on_change: str | None = None,
) -> Any:
    """A field that is also a flag; `why` is its help text and the reason for its value.

    `kind` converts the flag's text; it is only needed where the default is None or a
    tuple. A tuple is a flag that takes several values, and may be repeated; a bool is a
    flag with a negation `--no-`.

    `brief` is the text of a common flag on the screen that --help prints; others are
    only on the pages of --help TOPIC.

    `before` is the value of runs from before the flag, where it is not the default.
    `on_change` lets --resume change the flag, and says what follows from that.
    """
    metadata = {
        "why": why,
        "brief": brief,
        "kind": kind or type(default),
        "before": default if before is MISSING else before,
        "on_change": on_change,
    }
    return field(default=default, metadata=metadata)


def flag_name(name: str) -> str:
    return "--" + name.replace("_", "-")


def add_flag(parser: argparse._ArgumentGroup, f: Field[Any]) -> None:
    """Adds the flag of a field, absent from the parsed arguments unless given."""
    kind = f.metadata["kind"]
    how: dict[str, Any] = {"type": kind, "metavar": METAVARS.get(kind)}
    if kind is bool:
        how = {"action": argparse.BooleanOptionalAction}
    elif isinstance(f.default, tuple):
        how |= {"action": "extend", "nargs": "+"}
    default = f.default
    if isinstance(default, tuple):
        default = " ".join(map(str, default)) or None
    says = "" if default is None or kind is bool else f" (default: {default})"
    why, brief = (
        text and text.replace("%", "%%") + ("" if "(default" in text else says)
        for text in (f.metadata["why"], f.metadata["brief"])
    )
    action = parser.add_argument(
        flag_name(f.name), default=argparse.SUPPRESS, help=why, **how
    )
    set_brief(action, brief)


def require(config: object, name: str, holds: bool, what: str) -> None:
    """Raises InputError unless the field `name` is what it must be."""
    if not holds:
        raise InputError(
            f"{flag_name(name)} must be {what}, got {getattr(config, name)}."
        )
