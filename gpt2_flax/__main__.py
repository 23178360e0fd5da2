"""gpt2-flax train | sample | export"""

import argparse
import sys

from gpt2_flax import export, sample, train

COMMANDS = {"train": train.main, "sample": sample.main, "export": export.main}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="gpt2-flax", description="GPT-2 in Flax; COMMAND --help tells more."
    )
    parser.add_argument("command", choices=COMMANDS)
    command = parser.parse_args(sys.argv[1:2]).command
    return COMMANDS[command](sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
