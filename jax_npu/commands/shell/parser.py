"""The parser of `jax-npu`: commands in groups, and errors that name what helps."""

import argparse
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, NoReturn

NAME_WIDTH = 11  # of the column of commands in --help
FLAG_WIDTH = 26  # of the column of flags in a command's --help
MANY_FLAGS = 8  # more than that would fill lines of usage


class Formatter(argparse.HelpFormatter):
    """A command's --help on one screen: flags are listed once, below the usage."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=FLAG_WIDTH)

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[Any],
        prefix: str | None = None,
    ) -> None:
        actions = list(actions)
        if sum(bool(action.option_strings) for action in actions) > MANY_FLAGS:
            kept = [x for x in actions if x.required or not x.option_strings]
            command = argparse.HelpFormatter(self._prog, width=1000)
            command.add_usage(usage, kept, (), prefix="")
            words = command.format_help().strip().removeprefix(self._prog)
            usage, actions = f"{self._prog} [flags]{words}", []
        super().add_usage(usage, actions, groups, prefix)


class Parser(argparse.ArgumentParser):
    """A parser of commands: an error of usage is one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class Commands:
    """Takes `add_parser` as argparse's subparsers do, and lists commands by group."""

    def __init__(self, parser: Parser) -> None:
        self.parser = parser
        self._subparsers = parser.add_subparsers(
            prog=parser.prog, metavar="COMMAND", help=argparse.SUPPRESS
        )
        self._groups: dict[str, list[str]] = {}
        self._group = ""

    def add_group(self, title: str, adders: tuple[Callable[[Any], None], ...]) -> None:
        self._group, self._groups[title] = title, []
        for add_command in adders:
            add_command(self)

    def add_parser(self, name: str, help: str, **options: Any) -> Any:
        self._groups[self._group].append(f"  {name:{NAME_WIDTH}}{help}")
        sentence = f"{help[0].upper()}{help[1:]}."
        described: dict[str, Any] = {"description": sentence, "help": help}
        described |= {"formatter_class": Formatter, **options}
        return self._subparsers.add_parser(name, **described)

    def guide(self) -> str:
        """All commands, a group after the other, each in a line."""
        return "\n".join(
            line for title, lines in self._groups.items() for line in (title, *lines)
        )

    def completed(self) -> Parser:
        """The parser, for a tool that reads its commands: they are hidden no longer."""
        self._subparsers.help = "a command"
        return self.parser

    def unknown(self, argv: list[str]) -> str:
        """What is wrong with a first argument that is no command, else ""."""
        names = list(self._subparsers.choices)
        if not argv or argv[0] in names or argv[0].startswith("-"):
            return ""
        near = get_close_matches(argv[0], names, 1)
        meant = f"; did you mean {near[0]}" if near else ""
        return f"there is no command {argv[0]!r}{meant}"
