"""Trains GPT-2 with its matmuls on the chosen backend.

gpt2-flax train --model mini --out run
gpt2-flax train --out run --resume

However a run ends, `--resume` goes on to the same bits that it would have reached. The
flags of the configuration are the fields of TrainConfig, in flags/.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import rich

import jax_npu
from gpt2_flax import run
from gpt2_flax.adapters.saved import parts_of
from gpt2_flax.allocator import restart_with_tuned_allocator
from gpt2_flax.backend import describe_npu_mistakes, require_results, resolve_backend
from gpt2_flax.commands.train_result import print_result
from gpt2_flax.errors import NpuError, TrainingError, one_line_errors
from gpt2_flax.flags.config import TrainConfig, add_config_flags
from gpt2_flax.flags.config_file import as_toml, read_config_file
from gpt2_flax.flags.model_choice import choose_model
from gpt2_flax.flags.parsing.help import add_help, set_brief
from gpt2_flax.flags.parsing.parser import Parser
from gpt2_flax.flags.resume import config_to_resume, from_json
from gpt2_flax.flags.text_choice import choose_tokenizer, load_feed, tokenizer_of_run
from gpt2_flax.flags.training import ADAPTER_LR, WEIGHTS_LR
from gpt2_flax.model import GPT2Config, logits_function
from gpt2_flax.training.devices.mesh import mesh_of, place_batch
from gpt2_flax.training.devices.processes import is_first, start_processes, whole
from gpt2_flax.training.disk import DiskFullError
from gpt2_flax.training.loop import DivergedError, shape_inputs, take_steps
from gpt2_flax.training.optimizer import optimizer_of
from gpt2_flax.training.reporting.energy import TrainingEnergy
from gpt2_flax.training.reporting.forecast import describe_forecast
from gpt2_flax.training.reporting.plot import plot_loss
from gpt2_flax.training.reporting.trackers import require_trackers
from gpt2_flax.training.schedule import schedule_of
from gpt2_flax.training.start import Existing, Training, shape_state, start
from gpt2_flax.training.step import (
    make_train_step,
    make_validate,
)
from gpt2_flax.training.trained import parts_of_flags
from gpt2_flax.validations import Validations
from jax_npu.energy import Meter
from jax_npu.explanation.products import Explanation

ON_CORES = ("host", "xla")  # backends that have the cores' peak


def usual_rate(given: dict[str, Any]) -> dict[str, Any]:
    """The rate of weights that were trained before, which mini's would ruin."""
    if not given.get("weights"):
        return {}
    return {"lr": ADAPTER_LR if given.get("adapter") else WEIGHTS_LR}


@one_line_errors
def main(
    argv: list[str] | None = None,
    prog: str = "gpt2-flax train",
    recipe: Callable[[dict[str, Any]], dict[str, Any]] = usual_rate,
    default_out: Path = Path("run"),
) -> int:
    """`recipe` has flags of a new run that hold where those given say nothing."""
    given = from_json(vars(make_parser(prog, default_out).parse_args(argv)))
    start_processes()
    out, existing = given.pop("out"), given.pop("existing")
    file, is_dry = given.pop("config"), given.pop("dry_run")
    given = (read_config_file(file) if file else {}) | given
    if existing != "resume":
        given = recipe(given) | given
    config = checked_config(given, out, existing)
    if is_dry:
        with jax_npu.backend(resolve_backend(config.backend)):
            return show_plan(make_training(config, out, existing))
    return train(config, out, existing)


def checked_config(given: dict[str, Any], out: Path, existing: Existing) -> TrainConfig:
    """The configuration of a run with the flags given, as far as it can be checked.

    Raises:
      InputError: a flag is out of its range, or contradicts another or the run.
    """
    if existing != "resume" or "backend" in given:
        given = given | {"backend": resolve_backend(given.get("backend"))}
    if existing == "resume":
        config = config_to_resume(run.read_run(out)["train"], given)
    else:
        config = TrainConfig(**given)
        config.check_schedule()
    require_trackers(config.track)
    require_results("training", resolve_backend(config.backend))
    return config


def make_parser(
    prog: str = "gpt2-flax train", default_out: Path = Path("run")
) -> Parser:
    parser = Parser(prog, description="Trains GPT-2 on a text.", add_help=False)
    add_help(parser)
    add_run_flags(parser, default_out)
    add_config_flags(parser)
    return parser


def add_run_flags(parser: argparse.ArgumentParser, default_out: Path) -> None:
    group = parser.add_argument_group("run")

    def add(flags: argparse._ActionsContainer, *words: str, **how: Any) -> None:
        brief = how.pop("brief", None)
        set_brief(flags.add_argument(*words, **how), brief)

    out = f"run folder (default: {default_out})"
    add(group, "--out", type=Path, default=default_out, help=out, brief=out)
    add(
        group,
        "--config",
        type=Path,
        metavar="FILE.toml",
        help="file of flags, or shakespeare-char, nanoGPT's recipe; flags here win",
        brief="a file of flags, or shakespeare-char; flags here win",
    )
    add(
        group,
        "--dry-run",
        action="store_true",
        help="check everything, print the run's flags as such a file, its sizes and "
        "rates, and train nothing",
        brief="check everything, print sizes, train nothing",
    )
    parser.set_defaults(existing="refuse")
    existing = group.add_mutually_exclusive_group()
    how = {
        "dest": "existing",
        "action": "store_const",
        "default": argparse.SUPPRESS,
    }
    add(
        existing,
        "--resume",
        const="resume",
        help="go on with the run in --out, bit for bit, from its last checkpoint or "
        "else from the start; more --steps or another rate, backend and so on change "
        "it from there, which its record says",
        brief="go on with the run in --out, bit for bit",
        **how,
    )
    add(
        existing,
        "--overwrite",
        const="overwrite",
        help="replace the run in --out",
        **how,
    )


def train(config: TrainConfig, out: Path, existing: Existing) -> int:
    """Trains in the run folder `out`; returns the exit code.

    Raises:
      NpuError, TrainingError: it ended before the last step.
    """
    with jax_npu.backend(resolve_backend(config.backend)):
        try:
            return train_here(config, out, existing)
        finally:
            if mistakes := describe_npu_mistakes():
                print(f"\n{mistakes}")


def train_here(config: TrainConfig, out: Path, existing: Existing) -> int:
    training = make_training(config, out, existing)
    first, state = start(training, existing)
    print_sizes(training)
    products = products_of_step(training)
    if config.backend in ON_CORES:
        training = replace(training, flops=products.flops)
    entropy = training.feed.entropy
    try:
        with Meter() as meter:
            energy = TrainingEnergy(meter)
            step, state = take_steps(training, first, state, energy)
    except DivergedError as e:
        remedy = ""
        if config.backend in ("npu", "sim"):
            check = f"JAX_NPU_CHECK=always {run.resume_command(out)}"
            remedy = f"\nTo find out if the NPU computed wrong: {check}"
        raise TrainingError(f"{e}{remedy}") from e
    except NpuError as e:
        raise NpuError(f"{e} {run.how_to_go_on(out)}") from e
    except DiskFullError as e:
        raise TrainingError(f"{e}; {run.what_is_kept(out)}") from e
    finally:
        rows = run.read_metrics(out)
        with suppress(OSError):  # a picture, on a disk that may be full
            if is_first():
                plot_loss(out / "loss.png", rows, entropy)
    validations = Validations(rows)
    if validations.is_enough(config.patience):
        print(
            f"Ended after step {step}: no validation after step {validations.best_step}"
            f" was better, {config.patience} in a row (--patience)."
        )
    elif step < config.steps:
        print(f"Stopped; step {step} is saved. To go on: {run.resume_command(out)}")
        return 130
    state = state._replace(params=whole(state.params), frozen=whole(state.frozen))
    if is_first():
        print_result(training, state, rows, entropy, energy, products)
    return 0


def products_of_step(training: Training) -> Explanation:
    """The products of a step and where they run; compiles nothing."""
    inputs = shape_inputs(training.config)
    return jax_npu.explain(training.train_step, shape_state(training), *inputs)


def show_plan(training: Training) -> int:
    """Prints what `--dry-run` promises; returns the exit code."""
    config = training.config
    print(as_toml(config))
    print_sizes(training)
    schedule = schedule_of(config)
    steps = sorted({1, config.warmup, config.steps // 2, config.steps} - {0})
    rates = ", ".join(f"{float(schedule(step - 1)):.3g} in {step}" for step in steps)
    print(f"learning rate by step: {rates}")
    rich.print(products_of_step(training))
    sizes = config.batch_size, config.seq_len, config.steps
    print(describe_forecast(training.model, *sizes))
    return 0


def make_training(config: TrainConfig, out: Path, existing: Existing) -> Training:
    if existing == "resume":  # a begun run keeps its shape, even if --weights changed
        record = run.read_run(out)
        model, parts = GPT2Config(**record["model"]), parts_of(record)
        tokenizer = tokenizer_of_run(out, config)
    else:  # what can be wrong is said before a long text is read
        run.require_free(out, overwrite=existing == "overwrite")
        model, parts = choose_model(config, num_tokens=1), parts_of_flags(config)
        parts.split(parts.shapes(model))  # checks the names of weights
        tokenizer = choose_tokenizer(config)
        model = choose_model(config, tokenizer.num_tokens)
    feed = load_feed(config, tokenizer, out if existing == "resume" else None)
    optimizer, mesh = optimizer_of(config), mesh_of(config)
    logits = logits_function(model, jax_npu.dot_general, parts.adapter, config.remat)
    return Training(
        config=config,
        model=model,
        out=out,
        feed=feed,
        tokenizer=tokenizer,
        logits=logits,
        optimizer=optimizer,
        train_step=make_train_step(logits, optimizer, config.accumulate),
        validate=make_validate(logits, config, feed, partial(place_batch, mesh=mesh)),
        mesh=mesh,
        parts=parts,
    )


def print_sizes(training: Training) -> None:
    shapes, feed = shape_state(training), training.feed
    train, validation = feed.train.stream.tokens, feed.validation.stream.tokens
    trained, frozen = (
        sum(array.size for array in jax.tree.leaves(tree))
        for tree in (shapes.params, shapes.frozen)
    )
    share = f" of {trained + frozen:,}" if frozen else ""
    print(
        f"{trained:,}{share} parameters, {len(train):,} training tokens, "
        f"{len(validation):,} validation tokens, "
        f"matmuls on {training.config.backend}"
    )


if __name__ == "__main__":
    restart_with_tuned_allocator()
    sys.exit(main())
