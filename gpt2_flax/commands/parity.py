"""`gpt2-flax parity`: whether a backend trains as another does, within stated bounds.

gpt2-flax parity --backend npu --against xla

It is what to run first on a chip: both train from one seed, and the exit code is 0 if
losses, gradients and the final evaluation agree.
"""

import rich
from rich.table import Table

from gpt2_flax.backend import describe_npu_mistakes, require_results, resolve_backend
from gpt2_flax.data import PYTHON_DOCS, load_text, make_feed
from gpt2_flax.errors import InputError, npu_errors, one_line_errors
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.parsing.parser import Parser
from gpt2_flax.model import MODELS, GPT2Config
from gpt2_flax.tokenizers import load_tokenizer
from gpt2_flax.training.parity import Comparison, compare, train_on

# A model of bytes, so that its products are not all of one embedding, and `sim` takes
# seconds.
SMALL = GPT2Config(
    num_layers=2, num_heads=2, embed_dim=64, vocab_size=257, num_positions=256
)
DISAGREE = 1  # exit code


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    names = [resolve_backend(args.backend), resolve_backend(args.against)]
    if names[0] == names[1]:
        raise InputError(
            f"--backend and --against must differ, and both are {names[0]}; choose "
            "another one, such as --against xla."
        )
    for name in names:
        require_results("parity", name)
    config = TrainConfig(
        steps=args.steps,
        batch_size=args.batch_size,
        seq_len=args.seq_len,
        lr=args.lr,
        seed=args.seed,
    )
    model = model_named(args.model)
    if config.seq_len > model.num_positions:
        raise InputError(
            f"--seq-len must not exceed the model's {model.num_positions} positions, "
            f"got {config.seq_len}."
        )
    tokenizer = load_tokenizer("gpt2" if args.model else "bytes")
    text = load_text([args.data], tokenizer)
    feed = make_feed(text, config.batches, config.seq_len)
    trained = []
    for name in names:
        with npu_errors(f"training on {name}"):
            trained.append(train_on(name, model, config, feed))
    comparisons = compare(*trained)
    rich.print(as_table(names, comparisons))
    if mistakes := describe_npu_mistakes():
        print(mistakes)
    agree = all(one.agrees for one in comparisons)
    verdict = "agree" if agree else "do NOT agree"
    print(f"{names[0]} and {names[1]} {verdict} within the bounds.")
    return 0 if agree else DISAGREE


def make_parser() -> Parser:
    parser = Parser(
        prog="gpt2-flax parity",
        description="Trains on two backends from one seed and compares what they did.",
        epilog=f"The exit code is 0 if they agree, {DISAGREE} if not.",
    )
    add = parser.add_argument
    add("--backend", help="the one to test (default: $JAX_NPU_BACKEND, else auto)")
    add("--against", default="xla", help="the reference (default: xla)")
    add("--model", help=f"one of {', '.join(MODELS)} (default: a small one of bytes)")
    add("--data", default=PYTHON_DOCS, help="text (default: %(default)s)")
    add("--steps", type=int, default=20, help="training steps (default: %(default)s)")
    add(
        "--batch-size",
        type=int,
        default=4,
        help="rows of a step (default: %(default)s)",
    )
    add(
        "--seq-len", type=int, default=32, help="tokens of a row (default: %(default)s)"
    )
    add(
        "--lr",
        type=float,
        default=TrainConfig.lr,
        help="peak rate (default: %(default)s)",
    )
    add(
        "--seed",
        type=int,
        default=0,
        help="of weights and batches (default: %(default)s)",
    )
    return parser


def model_named(name: str | None) -> GPT2Config:
    if name is None:
        return SMALL
    if name not in MODELS:
        raise InputError(f"--model must be one of {', '.join(MODELS)}, got {name}.")
    return MODELS[name]


def as_table(names: list[str], comparisons: list[Comparison]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("", *names, "difference", "bound", ""):
        table.add_column(title, overflow="fold")
    for one in comparisons:
        numbers = f"{one.difference:.2%}", f"{one.bound:.2%}"
        verdict = "agrees" if one.agrees else "DIFFERS"
        table.add_row(one.what, *one.values, *numbers, verdict)
    return table
