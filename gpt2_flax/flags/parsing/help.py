"""`--help` of a command with many flags: a screen of the common ones, or a topic's.

A flag is common if it has a `brief`, the line that it gets there.
"""

import argparse
import copy
from collections.abc import Sequence
from typing import Any

ALL = "all"
HELP_COLUMN = 25  # where texts begin, in characters


class HelpByTopic(argparse.Action):
    """--help prints the common flags, --help TOPIC a group's, --help all every one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        titles, topic = topics(parser), str(values or "")
        if topic not in ("", ALL, *titles):
            parser.error(f"--help has no topic {topic!r}, but {', '.join(titles)}")
        print(everything(parser, topic) if topic else screen(parser), end="")
        parser.exit()


def add_help(parser: argparse.ArgumentParser) -> None:
    """Adds --help to a parser made with add_help=False."""
    parser.register("action", "help_by_topic", HelpByTopic)
    parser.add_argument(
        *("-h", "--help"),
        action="help_by_topic",
        nargs="?",
        metavar="TOPIC",
        default=argparse.SUPPRESS,
        help="print the common flags, a topic's, or all",
    )


def set_brief(action: argparse.Action, brief: str | None) -> None:
    vars(action)["brief"] = brief


def topics(parser: argparse.ArgumentParser) -> list[str]:
    """Titles of the groups that the command itself has made."""
    return [str(group.title) for group in parser._action_groups[2:]]


def screen(parser: argparse.ArgumentParser) -> str:
    """The common flags, a line each."""
    common = {
        str(group.title): [in_brief(a) for a in group._group_actions if brief_of(a)]
        for group in parser._action_groups[2:]
    }
    titles = ", ".join(topics(parser))
    parts = [
        f"usage: {parser.prog} [flags]\n",
        as_text(f"{parser.description}"),
        as_table(common).replace("\n\n", "\n"),
        as_text(f"More flags: --help TOPIC ({titles}), or --help {ALL}."),
    ]
    return "\n".join(parts)


def everything(parser: argparse.ArgumentParser, topic: str) -> str:
    """Every flag with its whole text, of one topic or of all."""
    groups = [g for g in parser._action_groups[2:] if topic in (ALL, g.title)]
    return as_table({str(g.title): g._group_actions for g in groups})


def brief_of(action: argparse.Action) -> str | None:
    return vars(action).get("brief")


def in_brief(action: argparse.Action) -> argparse.Action:
    """The flag with its brief text; one that takes several values shows one."""
    short = copy.copy(action)
    short.help = brief_of(action)
    if action.nargs == "+":
        short.nargs = None
        short.metavar = f"{action.metavar or action.dest.upper()} ..."
    return short


def as_table(groups: dict[str, list[argparse.Action]]) -> str:
    formatter = argparse.HelpFormatter("", max_help_position=HELP_COLUMN)
    for title, actions in groups.items():
        formatter.start_section(title)
        formatter.add_arguments(actions)
        formatter.end_section()
    return formatter.format_help()


def as_text(text: str) -> str:
    formatter = argparse.HelpFormatter("")
    formatter.add_text(text)
    return formatter.format_help()
