"""Trains GPT-2 with its matmuls on the chosen backend.

gpt2-flax train --model mini --out run
gpt2-flax train --out run --resume

However a run ends, `--resume` then reaches to the bit what it would have reached.
"""

import argparse
import hashlib
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import rich
from jax import Array

import jax_npu
from gpt2_flax import run
from gpt2_flax.allocator import restart_with_tuned_allocator
from gpt2_flax.backend import describe_npu_mistakes, resolve_backend
from gpt2_flax.config import (
    CHECKPOINT_MINUTES,
    TrainConfig,
    add_config_flags,
    choose_model,
    config_to_resume,
)
from gpt2_flax.data import (
    Split,
    Tokens,
    load_split,
    train_batch,
    unigram_entropy,
    validation_batches,
)
from gpt2_flax.errors import InputError, NpuError, npu_errors, one_line_errors
from gpt2_flax.model import (
    GPT2Config,
    LogitsFunction,
    Params,
    cross_entropy,
    init_params,
    logits_function,
)
from gpt2_flax.sample import continue_text
from gpt2_flax.tokenizer import load_tokenizer
from gpt2_flax.training.optimizer import make_optimizer, make_schedule
from gpt2_flax.training.plot import plot_loss
from gpt2_flax.training.progress import ask_on_interrupt, show_progress
from gpt2_flax.weights import load_params

SAMPLE_PROMPT_TOKENS = 12  # the beginning of the validation text
SAMPLE_TOKENS = 80


class State(NamedTuple):
    """`grads` is memory: the last step's gradients, which the next ones overwrite.

    Without it XLA takes new pages for them in every step, and the kernel clears those.
    """

    params: Params
    opt_state: optax.OptState
    grads: Params | None = None


TrainStep = Callable[[State, Tokens], tuple[State, Array, Array]]
Validate = Callable[[Params], float]


class DivergedError(Exception):
    """A loss or a gradient is NaN or infinite."""


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="gpt2-flax train", description="Trains GPT-2 on a text."
    )
    add_config_flags(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("run"), help="run folder (default: run)"
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --out, bit for bit, from its last checkpoint or "
        "else from the start; another --backend goes on with other roundings",
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="replace the run in --out"
    )
    given = vars(parser.parse_args(argv))
    out, resume, overwrite = (given.pop(k) for k in ("out", "resume", "overwrite"))

    if not resume or "backend" in given:
        given["backend"] = resolve_backend(given.get("backend"))
    if resume:
        config = config_to_resume(run.read_run(out)["train"], given)
    else:
        config = TrainConfig(**given)
    with jax_npu.backend(resolve_backend(config.backend)):
        try:
            return train(config, out, resume, overwrite)
        finally:
            if mistakes := describe_npu_mistakes():
                print(f"\n{mistakes}")


def train(config: TrainConfig, out: Path, resume: bool, overwrite: bool) -> int:
    """Trains in the run folder `out`; returns the exit code."""
    split = load_split(config.data, config.seq_len)
    entropy = unigram_entropy(np.concatenate(split))
    # A begun run keeps its shape, whatever has become of the --weights since.
    model = GPT2Config(**run.read_run(out)["model"]) if resume else choose_model(config)
    schedule = make_schedule(config.lr, config.warmup_steps, config.steps)
    optimizer = make_optimizer(schedule, config.weight_decay, config.max_grad_norm)
    logits = logits_function(model, jax_npu.dot_general)
    train_step = make_train_step(logits, optimizer)
    validate = make_validate(logits, config, split)
    first, state = begin(config, model, optimizer, split, out, resume, overwrite)
    num_params = sum(p.size for p in jax.tree.leaves(state.params))
    print(
        f"{num_params:,} parameters, {len(split.train):,} training tokens, "
        f"{len(split.validation):,} validation tokens, matmuls on {config.backend}"
    )
    try:
        step, state = loop(config, out, split, train_step, validate, first, state)
    except DivergedError as e:
        print(f"gpt2-flax: {e}", file=sys.stderr)
        if config.backend in ("npu", "sim"):
            check = f"JAX_NPU_CHECK=always {run.resume_command(out)}"
            print(
                f"Whether the NPU computed wrong, this tells: {check}", file=sys.stderr
            )
        return 1
    except NpuError as e:
        print(f"gpt2-flax: {e} {run.how_to_go_on(out)}", file=sys.stderr)
        return 1
    finally:
        rows = run.read_metrics(out)
        plot_loss(out / "loss.png", rows, entropy)
    if step < config.steps:
        print(f"Stopped; step {step} is saved. To go on: {run.resume_command(out)}")
        return 130

    val_loss = [row["val_loss"] for row in rows if "val_loss" in row][-1]
    print(
        f"validation loss {val_loss:.3f}, unigram entropy of the text {entropy:.3f}\n"
    )
    with npu_errors(f"training is done and saved in {out}, but its sample"):
        print_sample(logits, state.params, model, split, config.seed)
    tokens = jax.ShapeDtypeStruct((config.batch_size, config.seq_len + 1), np.int32)
    rich.print(jax_npu.explain(train_step, state, tokens))
    print(f"{out}: config.json, metrics.jsonl, loss.png, checkpoints")
    return 0


def begin(
    config: TrainConfig,
    model: GPT2Config,
    optimizer: optax.GradientTransformation,
    split: Split,
    out: Path,
    resume: bool,
    overwrite: bool,
) -> tuple[int, State]:
    """The steps that `out` has behind it, and the state after them."""
    text_sha256 = hashlib.sha256(np.concatenate(split).tobytes()).hexdigest()
    before = run.read_run(out) if resume else None
    if before and before["text_sha256"] != text_sha256:
        raise InputError(
            f"--resume needs the text that the run began with, and {config.data} is "
            "another now; restore it, or begin anew with another --out or --overwrite."
        )

    if resume and (first := run.latest_step(out)):
        shapes = jax.eval_shape(lambda: initial_state(init_params(model, 0), optimizer))
        items = run.restore_checkpoint(out, saved_items(shapes))
        state = State(**items, grads=zeros_like(items["params"]))
    else:
        first = 0
        params, weights_sha256 = first_params(config, model)
        if before and weights_sha256 != before.get("weights_sha256", weights_sha256):
            raise InputError(
                "--resume, before the first checkpoint, needs the weights that the run "
                f"began with, and {config.weights} holds others now; restore them, or "
                "begin a new run with another --out or --overwrite."
            )
        state = initial_state(params, optimizer)
    if before is None:
        record: dict[str, Any] = {"train": asdict(config), "model": asdict(model)}
        record |= {"text_sha256": text_sha256, "weights_sha256": weights_sha256}
        run.create_run(out, record, overwrite)
        return first, state
    run.forget_metrics_after(out, first)
    if config.backend and config.backend != (old := before["train"]["backend"]):
        run.change_backend(out, first, config.backend)
        print(
            f"After step {first} matmuls run on {config.backend}, no longer on {old}: "
            "sums are rounded in another order, so losses will differ a little."
        )
    return first, state


def first_params(config: TrainConfig, model: GPT2Config) -> tuple[Params, str | None]:
    """The parameters before step 1, and of --weights their hash."""
    if not config.weights:
        return init_params(model, config.seed), None
    params = load_params(Path(config.weights), model)
    sha256 = hashlib.sha256()
    for array in jax.tree.leaves(params):
        sha256.update(np.asarray(array))
    return params, sha256.hexdigest()


def initial_state(params: Params, optimizer: optax.GradientTransformation) -> State:
    return State(params, optimizer.init(params), zeros_like(params))


def zeros_like(params: Params) -> Params:
    return jax.tree.map(jnp.zeros_like, params)


def saved_items(state: State) -> dict[str, Any]:
    """What a checkpoint holds: all that the next step depends on."""
    return {"params": state.params, "opt_state": state.opt_state}


def make_train_step(
    logits: LogitsFunction, optimizer: optax.GradientTransformation
) -> TrainStep:
    @partial(jax.jit, donate_argnums=0, keep_unused=True)
    @jax_npu.round_early
    def train_step(state: State, tokens: Tokens) -> tuple[State, Array, Array]:
        loss, grads = jax.value_and_grad(token_loss)(state.params, tokens, logits)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        kept = None if state.grads is None else grads
        return State(params, opt_state, kept), loss, optax.tree.norm(grads)

    return train_step


def make_validate(
    logits: LogitsFunction, config: TrainConfig, split: Split
) -> Validate:
    """The mean loss over the same part of the validation text every time."""
    loss = jax.jit(partial(token_loss, logits=logits))
    batches = validation_batches(
        split.validation, config.batch_size, config.seq_len, config.eval_batches
    )
    return lambda params: float(np.mean([loss(params, batch) for batch in batches]))


def token_loss(params: Params, tokens: Tokens, logits: LogitsFunction) -> Array:
    """Of predicting tokens 1 to T of (B, T + 1) from those before."""
    if len(tokens) == 1:  # XLA:CPU reduces more slowly beside a dimension of one
        tokens = tokens[0]
    return cross_entropy(logits(params, tokens[..., :-1]), tokens[..., 1:])


def loop(
    config: TrainConfig,
    out: Path,
    split: Split,
    train_step: TrainStep,
    validate: Validate,
    step: int,
    state: State,
) -> tuple[int, State]:
    """Goes on from `step` to the last one, or to the one that a signal falls in.

    Raises:
      DivergedError, NpuError: the checkpoints are those of steps before.
    """
    tokens_per_step = config.batch_size * config.seq_len
    saved_at = time.monotonic()
    with (
        run.open_checkpoints(out) as checkpoints,
        ask_on_interrupt() as interrupted,
        show_progress(step, config.steps, tokens_per_step) as show,
    ):

        def record(row: dict[str, float]) -> None:
            check_finite(row, checkpoints.latest_step())
            run.append_metrics(out, row)
            show(row)

        def save() -> None:
            largest = np.max([np.abs(p).max() for p in jax.tree.leaves(state.params)])
            row = {"step": step, "the largest parameter": float(largest)}
            check_finite(row, checkpoints.latest_step())
            run.save_checkpoint(checkpoints, step, saved_items(state))

        while step < config.steps and not interrupted.is_set():
            batch = train_batch(
                split.train, config.batch_size, config.seq_len, config.seed, step
            )
            # The old state is donated. The new one is whole once its loss is there.
            with npu_errors(f"step {step + 1}"):
                state, loss, norm = train_step(state, batch)
                row = {"step": step + 1, "loss": float(loss), "grad_norm": float(norm)}
            step += 1
            record(row)
            is_validated = step % config.eval_every == 0 or step == config.steps
            if is_validated:
                with npu_errors(f"the validation of step {step}"):
                    val_loss = validate(state.params)
                record({"step": step, "val_loss": val_loss})
            if is_validated or time.monotonic() - saved_at > 60 * CHECKPOINT_MINUTES:
                save()
                saved_at = time.monotonic()
        if checkpoints.latest_step() != step:
            save()
    return step, state


def check_finite(row: dict[str, float], last_good: int | None) -> None:
    for name, value in row.items():
        if not math.isfinite(value):
            kept = (
                f"the checkpoint of step {last_good} is" if last_good else "nothing is"
            )
            raise DivergedError(
                f"{name} became {value} in step {row['step']}, so training stopped and "
                f"{kept} kept. Begin anew with a lower --lr, and --overwrite or "
                "another --out."
            )


def print_sample(
    logits: LogitsFunction, params: Params, model: GPT2Config, split: Split, seed: int
) -> None:
    prompt = load_tokenizer().decode(split.validation[:SAMPLE_PROMPT_TOKENS].tolist())
    text = continue_text(logits, params, model, prompt, SAMPLE_TOKENS, seed=seed)
    print(f"Sample, from the start of the validation text:\n{prompt}|{text}\n")


if __name__ == "__main__":
    restart_with_tuned_allocator()
    sys.exit(main())
