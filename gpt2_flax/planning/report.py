"""The plan as a table."""

from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.planning.cost import Cost
from gpt2_flax.planning.memory import Memory

GB = 1e9
LESS = (
    "--remat blocks, --accumulate,\n"
    "               --adapter lora or a smaller --batch-size take less"
)
CHECKPOINTS = 3  # at most: the newest two, and the best


def describe_plan(
    config: TrainConfig,
    memory: Memory,
    others: dict[str, Memory],
    costs: list[Cost],
    present: int | None,
) -> str:
    """Lines of memory by part, time and energy.

    Args:
      others: the memory with other values of --remat.
      present: bytes of memory of this machine, None if not known.
    """
    rows = {
        "parameters that are trained": memory.trained,
        "frozen parameters": memory.frozen,
        "gradients": memory.gradients,
        f"optimizer ({config.optimizer}, moments {config.moments})": memory.optimizer,
        "bf16 images of weights": memory.images,
        f"activations and all else of a step (--remat {config.remat})": memory.step,
    }
    lines = [f"{size / GB:10.3f} GB  {name}" for name, size in rows.items() if size]
    lines.append(f"{memory.total / GB:10.3f} GB  in all, beside the program itself")
    for remat, other in others.items():
        lines.append(f"{other.total / GB:10.3f} GB  in all with --remat {remat}")
    if present is not None:
        fits = "fits" if memory.total < present else f"does not fit; {LESS}"
        lines.append(f"{present / GB:10.3f} GB  this machine has, so it {fits}")
    disk = CHECKPOINTS * memory.checkpoint + memory.frozen
    lines.append(f"{disk / GB:10.3f} GB  on the disk: {CHECKPOINTS} checkpoints")
    for cost in costs:
        joules = "joules not published"
        if cost.joules is not None:
            joules = f"{cost.joules:.3g} J, {config.steps * cost.joules / 1e3:.3g} kJ"
        seconds = f"{cost.seconds:.3g} s a step, {config.steps * cost.seconds:.3g} s"
        lines.append(
            f"forecast for {cost.machine}, not measured: {seconds} for "
            f"{config.steps:,} steps ({joules})"
        )
    return "\n".join(lines)
