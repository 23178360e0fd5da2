"""`gpt2-flax sample`: continues a text with a run, or with other weights.

gpt2-flax sample --out run --prompt "The with statement" --num-tokens 100
gpt2-flax sample --weights gpt2-folder --interactive
"""

import argparse
import os
import sys
from pathlib import Path

import jax_npu
from gpt2_flax.backend import require_results, resolve_backend
from gpt2_flax.checkpoint_choice import HELP, LATEST
from gpt2_flax.commands.conversation import converse
from gpt2_flax.commands.terminal import write
from gpt2_flax.errors import InputError, one_line_errors
from gpt2_flax.flags.parsing.parser import Parser
from gpt2_flax.generation.choice import Rules
from gpt2_flax.generation.generate import NUM_TOKENS, Sampling, grow, make_generator
from gpt2_flax.loading import GPT2, load, load_run

DEFAULT_RUN = Path("run")


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    sampling = sampling_of(args)
    backend = resolve_backend(args.backend)
    require_results("sampling", backend)
    with jax_npu.backend(backend):
        model = chosen_model(args)
        try:
            if args.interactive:
                converse(model, sampling)
            else:
                print_samples(model, args.prompt, sampling)
        except BrokenPipeError:  # the reader has enough (`| head`)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def make_parser() -> Parser:
    parser = Parser(
        prog="gpt2-flax sample",
        description="Continues a text, until the model ends it.",
    )
    add = parser.add_argument
    add("--out", type=Path, help=f"run folder (default: {DEFAULT_RUN})")
    add("--weights", help="Hugging Face folder or Hub name, instead of a run")
    add("--checkpoint", default=LATEST, help=HELP)
    add("--prompt", default="", help="text to continue (default: the model begins one)")
    add(
        "--num-tokens",
        type=int,
        default=NUM_TOKENS,
        help=f"most tokens to add (default: {NUM_TOKENS})",
    )
    add("--num-samples", type=int, default=1, help="texts to grow (default: 1)")
    add(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end before this text; may be repeated",
    )
    add_rules(parser)
    add("--seed", type=int, default=0, help="chooses the tokens (default: 0)")
    add(
        "--interactive",
        action="store_true",
        help="read prompts from the terminal, one a line",
    )
    add("--backend", help="where matmuls run (default: $JAX_NPU_BACKEND, else auto)")
    return parser


def add_rules(parser: argparse.ArgumentParser) -> None:
    add, default = parser.add_argument, Rules()
    add(
        "--temperature",
        type=float,
        default=default.temperature,
        help=f"0 takes the likeliest token (default: {default.temperature})",
    )
    add(
        "--top-k",
        type=int,
        default=default.top_k,
        help=f"choose among the likeliest k; 0 is all (default: {default.top_k})",
    )
    add(
        "--top-p",
        type=float,
        default=default.top_p,
        help="choose among the likeliest that together have this probability "
        f"(default: {default.top_p})",
    )
    add(
        "--repetition-penalty",
        type=float,
        default=default.repetition_penalty,
        help="divides the logits of tokens that occurred "
        f"(default: {default.repetition_penalty})",
    )


def sampling_of(args: argparse.Namespace) -> Sampling:
    rules = Rules(args.temperature, args.top_k, args.top_p, args.repetition_penalty)
    if args.interactive and args.prompt:
        raise InputError("--interactive reads prompts; drop --prompt.")
    if args.interactive and args.num_samples > 1:
        raise InputError("--interactive grows one text; drop --num-samples.")
    return Sampling(
        args.num_tokens, args.num_samples, args.seed, tuple(args.stop), rules
    )


def chosen_model(args: argparse.Namespace) -> GPT2:
    if args.out and args.weights:
        raise InputError("--out and --weights both name a model; give one of them.")
    if args.weights:
        return load(args.weights, args.checkpoint)
    return load_run(args.out or DEFAULT_RUN, args.checkpoint)


def print_samples(model: GPT2, prompt: str, sampling: Sampling) -> None:
    """Prints the first text as it grows, and the others when all are complete."""
    texts = [""] * sampling.num_samples
    separator = "-" * 20 + "\n"
    write(prompt)
    try:
        for pieces in grow(make_generator(model), model.tokenizer, prompt, sampling):
            write(pieces[0])
            texts = [text + piece for text, piece in zip(texts, pieces)]
    finally:
        write("\n")  # also before what an interruption prints
    for text in texts[1:]:
        write(f"{separator}{prompt}{text}\n")


if __name__ == "__main__":
    sys.exit(main())
