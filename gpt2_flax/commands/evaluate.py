"""`gpt2-flax eval`: loss, perplexity and bits per byte of texts, and multiple choice.

gpt2-flax eval --out run --before                    # its validation text
gpt2-flax eval --out run --weights gpt2 --data book.txt --documents
gpt2-flax eval --weights gpt2 --choices hellaswag_val.jsonl
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax_npu
from gpt2_flax import run
from gpt2_flax.backend import require_results, resolve_backend
from gpt2_flax.checkpoint_choice import HELP, LATEST
from gpt2_flax.commands.evaluation_report import print_choices, print_scores
from gpt2_flax.errors import InputError, one_line_errors
from gpt2_flax.evaluation.choices import ChoiceScores, answer, read_questions
from gpt2_flax.evaluation.documents import (
    documents_in,
    documents_of,
    encoded_anew,
)
from gpt2_flax.evaluation.evaluate import (
    Document,
    Evaluation,
    Score,
    evaluate_documents,
)
from gpt2_flax.flags.parsing.parser import Parser
from gpt2_flax.flags.resume import saved_config
from gpt2_flax.flags.text_choice import load_feed, tokenizer_of_run
from gpt2_flax.loading import GPT2, load, load_run, load_start

DEFAULT_RUN = Path("run")


class Result(NamedTuple):
    """What one model reached; None where it was not asked for."""

    model: str
    scores: Evaluation | None
    choices: ChoiceScores | None


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    models = models_of(args)
    questions = read_questions(args.choices) if args.choices else None
    backend = resolve_backend(args.backend)
    require_results("an evaluation", backend)
    results = []
    with jax_npu.backend(backend):
        for name, load_model in models:
            model = load_model()
            scores = choices = None
            if questions is None or args.data:
                documents = chosen_documents(args, model)
                scores = evaluate_documents(model, documents, args.stride)
            if questions is not None:
                choices = answer(model, questions)
            results.append(Result(name, scores, choices))
    if args.json:
        print(json.dumps([as_json(result) for result in results], indent=2))
    else:
        print_scores([(name, scores) for name, scores, _ in results if scores])
        if args.documents:
            for name, scores, _ in results:
                if scores:
                    print_scores([(d.name, d) for d in scores.documents], name)
        print_choices([(name, choices) for name, _, choices in results if choices])
    return 0


def make_parser() -> Parser:
    parser = Parser(
        prog="gpt2-flax eval",
        description="Evaluates a run, other weights, or both side by side.",
    )
    add = parser.add_argument
    add("--out", type=Path, help=f"run folder (default: {DEFAULT_RUN})")
    add(
        "--weights",
        help="Hugging Face folder or Hub name, instead of a run or before it",
    )
    add("--checkpoint", default=LATEST, help=HELP)
    add(
        "--before",
        action="store_true",
        help="also evaluate what the run began with, as --weights names it for others",
    )
    add(
        "--data",
        action="extend",
        nargs="+",
        metavar="SOURCE",
        help="texts, as for training (default: the run's validation text)",
    )
    add(
        "--stride",
        type=int,
        help="tokens between the windows that a long text is seen through "
        "(default: half of the model's positions)",
    )
    add(
        "--after-endoftext",
        action="store_true",
        help="begin each document with <|endoftext|>, which predicts its first token",
    )
    add("--documents", action="store_true", help="print each document, too")
    add(
        "--choices",
        type=Path,
        metavar="FILE",
        help="multiple choice in HellaSwag's format: ctx, endings and label a line",
    )
    add("--json", action="store_true", help="print all figures as JSON")
    add("--backend", help="where matmuls run (default: $JAX_NPU_BACKEND, else auto)")
    return parser


def models_of(args: argparse.Namespace) -> list[tuple[str, Callable[[], GPT2]]]:
    """Names of the models, and what loads them, in the order of the report."""
    models: list[tuple[str, Callable[[], GPT2]]] = []
    if args.weights:
        # Beside a run, --checkpoint is the run's.
        checkpoint = LATEST if args.out else args.checkpoint
        models.append((args.weights, lambda: load(args.weights, checkpoint)))
    if args.out or not args.weights:
        out = args.out or DEFAULT_RUN
        run.read_run(out)
        if args.before:
            models.append((f"{out} before training", lambda: load_start(out)))
        models.append((str(out), lambda: load_run(out, args.checkpoint)))
    elif args.before:
        raise InputError("--before belongs to a run; give its --out.")
    elif not (args.data or args.choices):
        raise InputError("--weights needs a text, --data, or --choices.")
    return models


def chosen_documents(args: argparse.Namespace, model: GPT2) -> Iterable[Document]:
    if args.data:
        return documents_of(args.data, model.tokenizer, args.after_endoftext)
    out = args.out or DEFAULT_RUN
    config = saved_config(run.read_run(out)["train"])
    own = tokenizer_of_run(out, config)
    stream = load_feed(config, own, out).validation.stream
    name = f"validation text of {out}"
    documents = documents_in(stream, name, args.after_endoftext)
    if own.fingerprint == model.tokenizer.fingerprint:
        return documents
    return encoded_anew(documents, own, model.tokenizer)


def as_json(result: Result) -> dict[str, Any]:
    scores = choices = None
    if result.scores:
        documents = [figures(score) for score in result.scores.documents]
        scores = figures(result.scores) | {"documents": documents}
    if result.choices:
        choices = asdict(result.choices)
    return {"model": result.model, "texts": scores, "choices": choices}


def figures(score: Score) -> dict[str, Any]:
    return {
        "name": score.name,
        "loss": score.loss,
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte,
        "tokens": score.num_tokens,
        "bytes": score.num_bytes,
    }


if __name__ == "__main__":
    sys.exit(main())
