"""The learning rate of each step: a warm-up, then one of four shapes."""

import optax

from gpt2_flax.flags.config import TrainConfig

END_SHARE = 0.1  # the last rate's share of the peak: GPT-3 paper, appendix B


def schedule_of(config: TrainConfig) -> optax.Schedule:
    return make_schedule(
        config.lr,
        config.warmup,
        config.steps,
        config.schedule,
        config.min_lr,
        config.decay,
    )


def make_schedule(
    lr: float,
    warmup_steps: int,
    steps: int,
    shape: str = "cosine",
    min_lr: float | None = None,
    decay_steps: int = 0,
) -> optax.Schedule:
    """Learning rate by step: linear warm-up to `lr`, then `shape` down to `min_lr`.

    Step i of 0, 1, ... < warmup_steps has lr (i + 1) / warmup_steps: none has zero.
    The shape wsd stays at `lr` and falls linearly over the last `decay_steps`. Without
    a `min_lr`, the end is a tenth of `lr`.
    """
    end = END_SHARE * lr if min_lr is None else min_lr
    rest = max(steps - warmup_steps, 1)
    start_of_decay = max(steps - decay_steps, warmup_steps)
    after = {
        "cosine": [optax.cosine_decay_schedule(lr, rest, alpha=end / lr)],
        "linear": [optax.linear_schedule(lr, end, rest)],
        "constant": [optax.constant_schedule(lr)],
        "wsd": [
            optax.constant_schedule(lr),
            optax.linear_schedule(lr, end, max(decay_steps, 1)),
        ],
    }[shape]
    warmup = optax.linear_schedule(lr / max(warmup_steps, 1), lr, warmup_steps - 1)
    boundaries = [warmup_steps, start_of_decay][: len(after)]
    return optax.join_schedules([warmup, *after], boundaries)
