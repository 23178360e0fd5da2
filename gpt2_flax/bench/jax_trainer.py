"""The contender in JAX: the step of `gpt2-flax train` on one backend."""

import time
from dataclasses import asdict
from typing import Any

import jax
import numpy as np

import jax_npu
from gpt2_flax.data import Tokens
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.model import GPT2Config, init_params, logits_function, shape_params
from gpt2_flax.training.optimizer import optimizer_of
from gpt2_flax.training.step import TrainStep, initial_state, make_train_step
from gpt2_flax.training.weight_images import has_images
from jax_npu.bench import versions
from jax_npu.runtime.target import PACED, is_paced
from jax_npu.runtime.virtual_device import lateness

NO_CUSTOM_CALLS = "xla"  # the backend without custom calls


class JaxTrainer:
    """Trains on the same random tokens in every step."""

    def __init__(self, backend: str, model: dict[str, Any], train: dict[str, Any]):
        self.versions = versions("jax", "jaxlib", "flax", "optax")
        self._backend = "sim" if backend == PACED else backend
        shape, config = GPT2Config(**model), TrainConfig(**train)
        self._train_step, optimizer = compiled_later(shape, config)
        params = init_params(shape, config.seed)
        with jax_npu.backend(self._backend):
            images = has_images(config)
        self._state = initial_state(params, optimizer, has_images=images)
        self._tokens = random_tokens(shape.vocab_size, config)

    def step(self) -> dict[str, Any]:
        before = jax_npu.counters()
        start = time.perf_counter()
        with jax_npu.backend(self._backend):
            self._state, loss, _ = self._train_step(self._state, self._tokens)
            jax.block_until_ready((self._state, loss))
        seconds = time.perf_counter() - start
        counted = asdict(jax_npu.counters() - before)
        has_counters = self._backend != NO_CUSTOM_CALLS
        return {
            "seconds": seconds,
            "loss": None if is_paced(self._backend) else float(loss),
            "counters": counted if has_counters else None,
            "lateness": lateness() if is_paced(self._backend) else None,
            "pinned_bytes": jax_npu.pinned_memory().most,
        }

    def profile(self, path: str) -> None:
        with jax_npu.trace_calls(path):
            self.step()


def compiled_later(shape: GPT2Config, config: TrainConfig) -> tuple[TrainStep, Any]:
    """The step of `gpt2-flax train`, not yet compiled, and its optimizer."""
    optimizer = optimizer_of(config)
    logits = logits_function(shape, jax_npu.dot_general)
    return make_train_step(logits, optimizer), optimizer


def num_params(shape: GPT2Config) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(shape_params(shape)))


def random_tokens(vocab_size: int, config: TrainConfig) -> Tokens:
    shape = (config.batch_size, config.seq_len + 1)  # (B, T + 1), as in training
    return np.random.default_rng(config.seed).integers(0, vocab_size, shape, np.int32)


def gemm_flops(shape: GPT2Config, config: TrainConfig) -> int:
    """FLOPs of the products of one step, whichever contender computes it."""
    train_step, optimizer = compiled_later(shape, config)
    state = jax.eval_shape(
        lambda: initial_state(init_params(shape, config.seed), optimizer)
    )
    tokens = random_tokens(shape.vocab_size, config)
    with jax_npu.backend(NO_CUSTOM_CALLS):
        return jax_npu.explain(train_step, state, tokens).flops
