"""The step that is forecast is the one that trains."""

import re
from collections import Counter

import jax
import numpy as np
import pytest

import jax_npu
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.model import GPT2Config, init_params, logits_function
from gpt2_flax.training.optimizer import optimizer_of
from gpt2_flax.training.reporting.forecast import describe_forecast
from gpt2_flax.training.step import initial_state, make_train_step
from xdna.training.models import Gpt2
from xdna.training.step import training_step


def key(batch, m, k, n):
    """Sizes of a product, whichever of its operands comes first."""
    return batch, k, *sorted((m, n))


@pytest.mark.parametrize(
    ("layers", "heads", "width", "batch", "seq"),
    [(2, 2, 64, 3, 32), (1, 4, 32, 1, 300)],
)
def test_its_products_are_those_of_the_training_step(layers, heads, width, batch, seq):
    config = TrainConfig(steps=2)
    model = GPT2Config(layers, heads, width, vocab_size=500, num_positions=512)
    optimizer = optimizer_of(config)
    step = make_train_step(logits_function(model, jax_npu.dot_general), optimizer)
    state = jax.eval_shape(lambda: initial_state(init_params(model, 0), optimizer))
    tokens = jax.ShapeDtypeStruct((batch, seq + 1), np.int32)
    with jax_npu.backend("xla"):
        rows = jax_npu.explain(step, state, tokens).rows
    real = Counter()
    for row in rows:
        real[key(row.batch, row.m, row.k, row.n)] += row.calls
    nodes = training_step(Gpt2(layers, heads, width, 500, 512), batch, seq, 1.0)
    modelled = Counter(key(*node.product.sizes) for node in nodes if node.product)
    assert modelled == real


def test_a_run_is_forecast_in_one_line():
    line = describe_forecast(GPT2Config(2, 2, 64), 4, 32, steps=1000)
    pattern = (
        r"forecast of 1,000 steps, not measured: 7940hs [\d.]+ s \(joules not "
        r"published\), krackan-350 [\d.]+ s \(joules not published\), hx370 [\d.]+ s "
        r"\([\d.]+ J\)"
    )
    assert re.fullmatch(pattern, line)
