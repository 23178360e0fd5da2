"""The parser of a command: an error of usage names the command that helps."""

import argparse
from difflib import get_close_matches
from typing import NoReturn

UNKNOWN = "unrecognized arguments: "  # how argparse begins


class Parser(argparse.ArgumentParser):
    """An error of usage is one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        hint = self._flag_meant(message)
        self.exit(2, f"{self.prog}: {message}{hint}; see {self.prog} --help\n")

    def _flag_meant(self, message: str) -> str:
        """The flag that the first unknown word may stand for, else ""."""
        word, *_ = message.removeprefix(UNKNOWN).partition(" ")
        if not message.startswith(UNKNOWN) or not word.startswith("--"):
            return ""
        near = get_close_matches(word.split("=")[0], self._option_string_actions, 1)
        return f"; did you mean {near[0]}" if near else ""
