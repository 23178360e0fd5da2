"""Which of a run's checkpoints is used: the newest, the best, or that of a step."""

from pathlib import Path

from gpt2_flax import run
from gpt2_flax.errors import InputError
from gpt2_flax.interrupts import interrupts_deferred
from gpt2_flax.validations import Validations

LATEST, BEST = "latest", "best"
HELP = (
    f"of a run: {LATEST}, {BEST} (the lowest validation loss) or a step "
    f"(default: {LATEST})"
)


@interrupts_deferred()
def chosen_step(out: Path, choice: str = LATEST) -> int:
    """The step of a checkpoint of the run in `out`.

    Args:
      choice: "latest", "best" or the step's number.

    Raises:
      InputError: the choice is none of them, or that checkpoint is not kept.
    """
    with run.open_checkpoints(out) as checkpoints:
        kept: list[int] = sorted(checkpoints.all_steps())
    if not kept:
        raise InputError(f"{out} has no checkpoint yet; train it first.")
    if choice == LATEST:
        return kept[-1]
    if choice != BEST and not choice.isdecimal():
        raise InputError(
            f"--checkpoint must be {LATEST}, {BEST} or a step, got {choice!r}."
        )
    step = best_step(out) if choice == BEST else int(choice)
    if step not in kept:
        name = f"the best step, {step}," if choice == BEST else f"step {step}"
        raise InputError(
            f"{out} keeps no checkpoint of {name} but of {', '.join(map(str, kept))}; "
            "give one of these to --checkpoint."
        )
    return step


def best_step(out: Path) -> int:
    """The step after which the validation loss was lowest, the first of several."""
    step = Validations(run.read_metrics(out)).best_step
    if step is None:
        raise InputError(
            f"{out} has no validation yet, so no best checkpoint; give --checkpoint "
            f"{LATEST}."
        )
    return step
