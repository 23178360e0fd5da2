"""PyTorch's training step, written again, for ours to be compared with.

Schedule, clipping and decay are those of `training.optimizer`.
"""

from itertools import starmap

import jax
import numpy as np
import torch

from gpt2_flax.training.optimizer import BETAS, make_optimizer
from gpt2_flax.training.schedule import make_schedule
from gpt2_flax.training.step import initial_state, make_train_step

LR, WARMUP_STEPS, WEIGHT_DECAY, MAX_GRAD_NORM = 1e-3, 2, 0.1, 1.0


def with_noise(model, amount=0.1):
    """The model, with noise on arrays that would begin as zeros or ones."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(amount * torch.randn_like(parameter))
    return model


def rate(i, steps):
    if i < WARMUP_STEPS:
        return LR * (i + 1) / WARMUP_STEPS
    progress = (i - WARMUP_STEPS) / (steps - WARMUP_STEPS)
    return LR * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * progress)))


def reference_steps(model, batches, loss_of):
    """The losses before each step of AdamW on what needs gradients.

    `loss_of` takes the model and a batch, and gives the losses to add up: a backward
    pass is taken of each.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=BETAS)
    losses = []
    for i, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate(i, len(batches))
        optimizer.zero_grad()
        parts = list(loss_of(model, batch))
        for part in parts:
            part.backward()
        torch.nn.utils.clip_grad_norm_(trained, MAX_GRAD_NORM)
        optimizer.step()
        losses.append(sum(part.item() for part in parts))
    return losses


def our_steps(logits, params, batches, frozen=None, parts=1, keys=None):
    """The losses before each step, and the trained parameters after the last."""
    optimizer = make_optimizer(
        make_schedule(LR, WARMUP_STEPS, len(batches)), WEIGHT_DECAY, MAX_GRAD_NORM
    )
    step = make_train_step(logits, optimizer, parts)
    copies = jax.tree.map(jax.numpy.array, (params, frozen))  # steps overwrite theirs
    state = initial_state(copies[0], optimizer, copies[1])
    losses = []
    for i, batch in enumerate(batches):
        state, loss, _ = step(state, batch, *([] if keys is None else [keys[i]]))
        losses.append(float(loss))
    return losses, state.params


def masked_sums(logits, tokens, mask):
    """The sum of the losses of the targets that count: (B, T, V), (B, T + 1), (B, T)"""
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.as_tensor(tokens)[:, 1:].flatten(), reduction="none"
    )
    return (losses * torch.as_tensor(mask).flatten()).sum()


def relative_errors(actual, expected):
    return list(starmap(relative_error, zip(actual, expected, strict=True)))


def relative_error(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)
