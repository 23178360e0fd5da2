"""The page of commands: every flag, read off the programs' own parsers."""

import argparse
import importlib
from collections.abc import Iterator
from unittest import mock

from gpt2_flax import __main__ as gpt2_flax
from jax_npu.commands import command_line

HEAD = """# Commands

Every command and flag, read off the programs' own parsers; `COMMAND --help` prints the
same.
"""


class ParserError(Exception):
    """Carries the parser of a command out of its `main`."""


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Each command with its parser and its summary."""
    yield from below(command_line.make_parser(), "jax-npu", "")
    for name, (module, summary) in gpt2_flax.COMMANDS.items():
        yield from below(parser_of(module), f"gpt2-flax {name}", summary)


def parser_of(module: str) -> argparse.ArgumentParser:
    """The parser that a module's `main` builds, taken when it would parse."""

    def capture(self, *_, **__):
        raise ParserError(self)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", capture):
        try:
            importlib.import_module(module).main([])
        except ParserError as captured:
            return captured.args[0]
    raise ValueError(f"{module}.main parses no arguments")


def below(parser, name: str, summary: str):
    """The commands of a parser, or itself if it has none."""
    found = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in found:
        summaries = {choice.dest: choice.help for choice in action._choices_actions}
        for sub, child in action.choices.items():
            yield from below(child, f"{name} {sub}", summaries.get(sub) or "")
    if not found:
        yield name, parser, summary


def page() -> str:
    return "\n\n".join([HEAD, *(section(*one) for one in parsers())]) + "\n"


def section(name: str, parser: argparse.ArgumentParser, summary: str) -> str:
    parts = [f"## {name}", sentence(parser.description or summary)]
    formatter = argparse.HelpFormatter(parser.prog)
    for group in parser._action_groups:
        actions = [
            action
            for action in group._group_actions
            if action.help is not argparse.SUPPRESS and action.dest != "help"
        ]
        if not actions:
            continue
        if group.title not in ("options", "positional arguments"):
            parts.append(f"**{sentence(group.title).rstrip('.')}**")
        if group.description:
            parts.append(sentence(group.description))
        rows = [
            f"| {spelled(a, formatter)} | {explained(a, parser)} |" for a in actions
        ]
        parts.append("\n".join(["| flag | |", "|---|---|", *rows]))
    return "\n\n".join(part for part in parts if part)


def spelled(action: argparse.Action, formatter: argparse.HelpFormatter) -> str:
    metavar = formatter._metavar_formatter(action, action.dest.upper())
    if not action.option_strings:
        return code(formatter._format_args(action, action.dest.upper()))
    values = formatter._format_args(action, metavar(1)[0]) if action.nargs != 0 else ""
    names = ", ".join(action.option_strings)
    return code(f"{names} {values}".strip())


def explained(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    text = action.help or ""
    if text:
        words = {**vars(action), "prog": parser.prog}
        words["choices"] = ", ".join(map(str, action.choices or ()))
        text = text % words
    if action.default not in (None, False, argparse.SUPPRESS, ()) and (
        "default" not in text
    ):
        text += f" (default {action.default})"
    if action.required and action.option_strings:
        text += " (required)"
    return cell(text)


def sentence(text: str | None) -> str:
    text = " ".join((text or "").split())
    return (
        escape(text[:1].upper() + text[1:]) + ("" if text.endswith(".") else ".")
        if text
        else ""
    )


def cell(text: str) -> str:
    return escape(" ".join(text.split())).replace("|", "\\|")


def code(text: str) -> str:
    return f"`{text}`"  # a bar in it ends no cell


def escape(text: str) -> str:
    """HTML's and Markdown's signs as they are."""
    for sign in "<*_[":
        text = text.replace(sign, f"\\{sign}" if sign != "<" else "&lt;")
    return text
