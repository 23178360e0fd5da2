"""Training short enough for a virtual NPU with faults, and how its results compare."""

from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np

import jax_npu
from gpt2_flax import run
from gpt2_flax.data import Feed, python_docs
from gpt2_flax.data.stream import Stream, StreamSamples
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.model import GPT2Config, logits_function
from gpt2_flax.tokenizers import load_tokenizer
from gpt2_flax.training.loop import take_steps
from gpt2_flax.training.optimizer import make_optimizer
from gpt2_flax.training.reporting.energy import TrainingEnergy
from gpt2_flax.training.schedule import schedule_of
from gpt2_flax.training.start import Training, start
from gpt2_flax.training.step import make_train_step, make_validate
from jax_npu.energy import Meter

# Faults that the device reports, so the run is tried again on it.
REPORTED = ["timeout", "abort", "error", "evicted"]
# COMPLETED with a wrong result, so the host computes the product.
SILENT = ["garbage", "wrong", "untouched"]

# Relative error of a loss where the host computed one product of a few steps: its f32
# sums are in another order, and a bf16 rounding of the next product hides most of that.
# No error was seen in losses.
HOST_LOSS = 1e-6


@dataclass(frozen=True)
class ByteTraining:
    """gpt2_flax's own loop with a model of bytes, whose steps take milliseconds."""

    config: TrainConfig

    def __call__(self, out, resume=False):
        """Trains in `out`; returns the state and the metrics."""
        training = Training(
            config=self.config,
            model=self.model,
            out=out,
            feed=self.feed,
            tokenizer=load_tokenizer("bytes"),
            logits=self.logits,
            optimizer=self.optimizer,
            train_step=self.train_step,
            validate=self.validate,
        )
        with jax_npu.backend("sim"):
            first, state = start(training, "resume" if resume else "refuse")
            energy = TrainingEnergy(Meter())  # not started
            _, state = take_steps(training, first, state, energy)
        state = state._replace(grads=None)  # only memory: not compared
        return jax.device_get(state), run.read_metrics(out)

    model = GPT2Config(
        num_layers=1, num_heads=2, embed_dim=16, vocab_size=256, num_positions=24
    )

    @cached_property
    def feed(self):
        text = np.frombuffer(python_docs().encode(), np.uint8).astype(np.int32)
        parts = (Stream(text[:-20_000]), Stream(text[-20_000:]))
        samples = (StreamSamples(part, self.config.seq_len) for part in parts)
        return Feed(*samples, at_random=True)

    @cached_property
    def optimizer(self):
        schedule = schedule_of(self.config)
        return make_optimizer(schedule, self.config.weight_decay, 1.0)

    @cached_property
    def logits(self):
        return logits_function(self.model, jax_npu.dot_general)

    @cached_property
    def train_step(self):
        return make_train_step(self.logits, self.optimizer)

    @cached_property
    def validate(self):
        return make_validate(self.logits, self.config, self.feed)


def assert_same(result, expected):
    """The same bits of the state, and the same metrics."""
    jax.tree.map(np.testing.assert_array_equal, result[0], expected[0])
    assert result[1] == expected[1]
