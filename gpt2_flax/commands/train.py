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
import numpy as np
import rich

import jax_npu
from gpt2_flax import run
from gpt2_flax.adapters.merge import merge_adapter
from gpt2_flax.adapters.saved import parts_of
from gpt2_flax.allocator import restart_with_tuned_allocator
from gpt2_flax.backend import describe_npu_mistakes, require_results, resolve_backend
from gpt2_flax.errors import NpuError, TrainingError, npu_errors, one_line_errors
from gpt2_flax.flags.config import TrainConfig, add_config_flags
from gpt2_flax.flags.config_file import as_toml, read_config_file
from gpt2_flax.flags.model_choice import choose_model
from gpt2_flax.flags.resume import config_to_resume, from_json
from gpt2_flax.flags.text_choice import choose_tokenizer, load_feed, tokenizer_of_run
from gpt2_flax.generation.choice import Rules
from gpt2_flax.generation.generate import generate
from gpt2_flax.loading import GPT2
from gpt2_flax.model import GPT2Config, logits_function
from gpt2_flax.training.best import Validations
from gpt2_flax.training.devices.mesh import mesh_of, place_batch
from gpt2_flax.training.devices.processes import is_first, start_processes, whole
from gpt2_flax.training.disk import DiskFullError
from gpt2_flax.training.loop import DivergedError, dropout_key, take_steps
from gpt2_flax.training.optimizer import optimizer_of
from gpt2_flax.training.progress import Row, describe_validation
from gpt2_flax.training.reporting.energy import TrainingEnergy, describe_energy
from gpt2_flax.training.reporting.forecast import describe_forecast
from gpt2_flax.training.reporting.plot import plot_loss
from gpt2_flax.training.reporting.trackers import require_trackers
from gpt2_flax.training.schedule import schedule_of
from gpt2_flax.training.start import Existing, Training, shape_state, start
from gpt2_flax.training.step import (
    State,
    all_params,
    make_train_step,
    make_validate,
)
from gpt2_flax.training.trained import parts_of_flags
from jax_npu.energy import Meter
from jax_npu.explanation import Explanation

SAMPLE_PROMPT_TOKENS = 12  # the beginning of the validation text
SAMPLE_TOKENS = 80
CHARACTERS = (
    4  # in a token of GPT-2, of which a sample of characters takes as many more
)
SURE = 0.6  # temperature of a sample of characters
FEWEST_OF_BPE = 1000  # tokens of a vocabulary that is not of bytes or characters
ON_CORES = ("host", "xla")  # backends that have the cores' peak


@one_line_errors
def main(
    argv: list[str] | None = None,
    prog: str = "gpt2-flax train",
    recipe: Callable[[dict[str, Any]], dict[str, Any]] = lambda given: {},
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
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Trains GPT-2 on a text.")
    add_config_flags(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=default_out,
        help=f"run folder (default: {default_out})",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE.toml",
        help="file of flags, or shakespeare-char, nanoGPT's recipe; flags here win",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, print the run's flags as such a file, its sizes and "
        "rates, and train nothing",
    )
    parser.set_defaults(existing="refuse")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume",
        dest="existing",
        action="store_const",
        const="resume",
        default=argparse.SUPPRESS,
        help="go on with the run in --out, bit for bit, from its last checkpoint or "
        "else from the start; more --steps or another rate, backend and so on change "
        "it from there, which its record says",
    )
    existing.add_argument(
        "--overwrite",
        dest="existing",
        action="store_const",
        const="overwrite",
        default=argparse.SUPPRESS,
        help="replace the run in --out",
    )
    return parser


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
    config = training.config
    tokens = jax.ShapeDtypeStruct((config.batch_size, config.seq_len + 1), np.int32)
    key = jax.eval_shape(lambda: dropout_key(config, 0))
    return jax_npu.explain(training.train_step, shape_state(training), tokens, key)


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


def print_result(
    training: Training,
    state: State,
    rows: list[Row],
    entropy: float,
    energy: TrainingEnergy,
    products: Explanation,
) -> None:
    """Prints the last validation, a sample, the step's GEMMs, what a run would take on
    machines with an NPU, the energy that this one took, and the files."""
    config, out = training.config, training.out
    losses = {row["step"]: row["val_loss"] for row in rows if "val_loss" in row}
    if 0 in losses:  # runs of older versions have none
        print(f"before training: {describe_validation(losses[0])}")
    last = describe_validation(list(losses.values())[-1])
    print(f"after training:  {last}; unigram entropy of the text {entropy:.3f}\n")
    with npu_errors(f"training is done and saved in {out}, but its sample"):
        print_sample(training, state)
    rich.print(products)
    sizes = config.batch_size, config.seq_len, config.steps
    print(describe_forecast(training.model, *sizes))
    num_tokens = config.batch_size * config.seq_len  # in a step
    print(describe_energy(energy, num_tokens, products.flops))
    print(f"{out}: config.json, metrics.jsonl, loss.png, checkpoints")


def print_sample(training: Training, state: State) -> None:
    config = training.config
    params = merge_adapter(all_params(state), training.parts.adapter)
    model = GPT2(training.model, params, training.tokenizer)
    scale = CHARACTERS if model.tokenizer.num_tokens < FEWEST_OF_BPE else 1
    start_of_text = training.feed.validation.stream.tokens
    start_of_text = start_of_text[: scale * SAMPLE_PROMPT_TOKENS]
    prompt = model.tokenizer.decode(start_of_text.tolist())
    num_tokens = scale * SAMPLE_TOKENS
    # A word takes several draws of characters, one of which is easily wrong.
    temperature = SURE if scale > 1 else Rules.temperature
    (text,) = generate(
        model,
        prompt,
        num_tokens=num_tokens,
        temperature=temperature,
        seed=config.seed,
    )
    print(f"Sample, from the start of the validation text:\n{prompt}|{text}\n")


if __name__ == "__main__":
    restart_with_tuned_allocator()
    sys.exit(main())
