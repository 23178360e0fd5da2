"""The parser of a command: an error of usage names the command that helps."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An error of usage is one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")
