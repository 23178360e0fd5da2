"""The plan as a table."""

from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.planning.cost import Cost
from gpt2_flax.planning.memory import Memory

MB, GB = 1e6, 1e9
MINUTE, HOUR = 60, 3600  # seconds
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
    lines = [f"{amount(size)}  {name}" for name, size in rows.items() if size]
    lines.append(f"{amount(memory.total)}  in all, beside the program itself")
    for remat, other in others.items():
        lines.append(f"{amount(other.total)}  in all with --remat {remat}")
    if present is not None:
        fits = "fits" if memory.total < present else f"does not fit; {LESS}"
        lines.append(f"{amount(present)}  this machine has, so it {fits}")
    disk = CHECKPOINTS * memory.checkpoint + memory.frozen
    lines.append(f"{amount(disk)}  on the disk: {CHECKPOINTS} checkpoints")
    for cost in costs:
        joules = "joules not published"
        if cost.joules is not None:
            joules = f"{cost.joules:.3g} J, {config.steps * cost.joules / 1e3:.3g} kJ"
        seconds = f"{cost.seconds:.3g} s a step, {time_of(config.steps * cost.seconds)}"
        lines.append(
            f"forecast for {cost.machine}, not measured: {seconds} for "
            f"{config.steps:,} steps ({joules})"
        )
    return "\n".join(lines)


def amount(num_bytes: float) -> str:
    """Bytes in a column: in GB, or in MB below a tenth of one."""
    if num_bytes < GB / 10:
        return f"{num_bytes / MB:10.1f} MB"
    return f"{num_bytes / GB:10.3f} GB"


def time_of(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 2 * MINUTE:
        return f"{seconds:.3g} s"
    if seconds < 2 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h"
