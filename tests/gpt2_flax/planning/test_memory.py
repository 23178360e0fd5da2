"""The plan of memory against XLA's of the whole step, and what a step really keeps."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import jax_npu
from gpt2_flax.adapters.parameters import join_params
from gpt2_flax.commands import plan
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.model import GPT2Config
from gpt2_flax.planning.cost import costs_of_step, flops_of_step, traced_flops
from gpt2_flax.planning.memory import (
    lower_step,
    memory_of_step,
    num_bytes,
    step_and_shapes,
)
from gpt2_flax.planning.report import amount, time_of
from gpt2_flax.training.trained import parts_of_flags
from gpt2_flax.training.weight_images import has_images

from ..runs import one_line

MODEL = GPT2Config(
    num_layers=6, num_heads=4, embed_dim=32, vocab_size=300, num_positions=128
)
CONFIG = TrainConfig(batch_size=4, seq_len=128, backend="host")
# How far a plan may be from XLA's own of the whole program, as a share of it.
MEMORY_ERROR = 0.1

RECIPES = {
    "plain": {},
    "blocks": {"remat": "blocks"},
    "lora": {"adapter": "lora", "remat": "attention", "accumulate": 2},
    "bf16": {"moments": "bf16", "dropout": "0.1"},
}

MORE = ("plain", "lora", "bf16")


@pytest.mark.parametrize(
    "recipe",
    ["blocks", *(pytest.param(r, marks=pytest.mark.slow) for r in MORE)],
)
def test_the_plan_is_within_a_tenth_of_xlas_own_of_every_layer(recipe):
    config = replace(CONFIG, **RECIPES[recipe])
    parts = parts_of_flags(config)
    with jax_npu.backend("host"):
        memory = memory_of_step(config, MODEL, parts)
        whole = lower_step(config, MODEL, parts).compile().memory_analysis()
    state = memory.total - memory.step
    tokens = 4 * config.batch_size * (config.seq_len + 1)
    arguments = whole.argument_size_in_bytes - tokens
    assert state == pytest.approx(arguments, rel=0.01)
    assert (memory.images > 0) == has_images(config)
    fresh = whole.output_size_in_bytes - whole.alias_size_in_bytes
    found = whole.temp_size_in_bytes + fresh
    assert memory.step == pytest.approx(found, rel=MEMORY_ERROR)


@pytest.mark.slow
def test_what_is_computed_again_is_not_kept():
    parts = parts_of_flags(CONFIG)
    with jax_npu.backend("host"):
        none, attention, blocks = (
            memory_of_step(replace(CONFIG, remat=remat), MODEL, parts).step
            for remat in ("none", "attention", "blocks")
        )
    scores = 4 * MODEL.num_heads * 128**2 * 4  # bytes of a layer
    assert none - attention > 0.5 * (MODEL.num_layers - 1) * scores
    assert blocks < 0.5 * none


def test_a_plan_of_parts_is_what_a_step_keeps():
    config = replace(CONFIG, adapter="dora", batch_size=1, seq_len=4)
    model, parts = replace(MODEL, num_layers=1), parts_of_flags(config)
    with jax_npu.backend("host"):
        memory = memory_of_step(config, model, parts)
        step, shapes, tokens, _ = step_and_shapes(config, model, parts)
        state = jax.tree.map(lambda x: jax.numpy.ones(x.shape, x.dtype), shapes)
        state, _, _ = step(state, np.zeros(tokens.shape, np.int32))
    assert num_bytes(state.params) == num_bytes(state.grads) == memory.trained
    assert num_bytes(state.opt_state) == memory.optimizer
    assert num_bytes(state.frozen) == memory.frozen
    every = num_bytes(join_params(state.params, state.frozen))
    assert every == memory.trained + memory.frozen
    assert memory.checkpoint == memory.trained + memory.optimizer


@pytest.mark.slow
def test_frozen_weights_have_no_products_for_their_gradients():
    with jax_npu.backend("host"):
        flops = {
            name: flops_of_step(config, MODEL, parts_of_flags(config))
            for name, config in {
                "plain": CONFIG,
                "lora": replace(CONFIG, adapter="lora", lora_rank=1),
                "again": replace(CONFIG, remat="blocks"),
            }.items()
        }
        whole = traced_flops(CONFIG, MODEL, parts_of_flags(CONFIG))
    assert flops["plain"] == whole
    tokens, c, v = 4 * 128, MODEL.embed_dim, MODEL.vocab_size
    weights = 2 * tokens * (MODEL.num_layers * 12 * c * c + v * c)  # of all gradients
    products_of_rank_1 = MODEL.num_layers * 6 * tokens * (3 + 1 + 4 + 4 + 4) * c
    saved = flops["plain"] - flops["lora"]
    assert weights - 2 * products_of_rank_1 < saved < weights + tokens * c * 12 * c
    assert flops["plain"] < flops["again"] < 4 / 3 * flops["plain"]


@pytest.mark.slow
def test_a_step_of_an_adapter_is_forecast_to_take_less():
    lora = replace(CONFIG, adapter="lora", lora_rank=1)
    with jax_npu.backend("host"):
        costs, of_lora = (
            costs_of_step(config, MODEL, parts_of_flags(config))
            for config in (CONFIG, lora)
        )
    assert 0 < of_lora[0].seconds < costs[0].seconds


def test_the_command_reads_neither_data_nor_weights(capsys):
    flags = "--data /nowhere --num-layers 1 --embed-dim 16 --num-heads 2 --backend xla"
    assert plan.main(flags.split()) == 0
    printed = capsys.readouterr().out
    for line in ("gradients", "in all with --remat blocks", "forecast for hx370"):
        assert line in printed
    assert plan.main(["--seq-len", "2000", "--backend", "xla"]) == 2
    assert "--seq-len must not exceed" in one_line(capsys)


def test_amounts_and_times_have_units_that_fit():
    assert [amount(n).strip() for n in (2.5e5, 9.9e7, 1.04e8, 2.5e10)] == [
        *("0.2 MB", "99.0 MB", "0.104 GB", "25.000 GB")
    ]
    assert [time_of(s) for s in (0.0123, 119, 121, 7199, 22_300)] == [
        *("0.0123 s", "119 s", "2 min", "120 min", "6.2 h")
    ]
