"""`gpt2-flax export`: writes a trained run as a Hugging Face directory.

gpt2-flax export --out run --to gpt2-docs
"""

import argparse
from pathlib import Path

from gpt2_flax.errors import InputError, one_line_errors
from gpt2_flax.loading import load_run
from gpt2_flax.weights import save_weights


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="gpt2-flax export", description="Writes a run for GPT2LMHeadModel."
    )
    parser.add_argument(
        "--out", type=Path, default=Path("run"), help="run folder (default: run)"
    )
    parser.add_argument("--to", type=Path, required=True, help="a new or empty folder")
    args = parser.parse_args(argv)
    if args.to.exists() and (not args.to.is_dir() or any(args.to.iterdir())):
        raise InputError(f"--to must be a new or empty folder, and {args.to} is not.")
    model = load_run(args.out)
    save_weights(args.to, model.config, model.params)
    return 0
