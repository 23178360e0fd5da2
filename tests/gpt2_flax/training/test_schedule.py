"""The learning rate of each step: the warm-up and its four shapes."""

import math

import pytest

from gpt2_flax.errors import InputError
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.training.schedule import make_schedule, schedule_of


def test_schedule_warms_up_linearly_then_follows_a_cosine():
    schedule = make_schedule(1.0, warmup_steps=4, steps=14)
    assert [float(schedule(i)) for i in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    for i in range(4, 15):
        cosine = 0.5 * (1 + math.cos(math.pi * (i - 4) / 10))
        assert float(schedule(i)) == pytest.approx(0.1 + 0.9 * cosine, abs=1e-6)


@pytest.mark.parametrize("warmup_steps", [0, 1, 50])
def test_any_warm_up_gives_finite_positive_rates(warmup_steps):
    schedule = make_schedule(1e-3, warmup_steps, steps=20)
    rates = [float(schedule(i)) for i in range(20)]
    assert all(0 < rate <= 1e-3 * (1 + 1e-6) for rate in rates)


@pytest.mark.parametrize(
    ("shape", "rate"),
    [
        ("linear", lambda i: 2 - 1.5 * (i - 4) / 16),
        ("constant", lambda i: 2),
        ("wsd", lambda i: 2 if i < 15 else 2 - 1.5 * (i - 15) / 5),
    ],
)
def test_other_shapes_fall_to_the_minimum_rate_as_they_say(shape, rate):
    config = TrainConfig(
        steps=20, lr=2.0, min_lr=0.5, warmup_steps=4, schedule=shape,
        decay_steps=5 if shape == "wsd" else None,
    )  # fmt: skip
    schedule = schedule_of(config)
    assert [float(schedule(i)) for i in range(4)] == [0.5, 1.0, 1.5, 2.0]
    for i in range(4, 21):
        assert float(schedule(i)) == pytest.approx(rate(i), rel=1e-6)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"warmup_steps": 20}, "--warmup-steps 20 must be fewer than --steps 20"),
        ({"decay_steps": 5}, "--decay-steps is for --schedule wsd"),
        (
            {"schedule": "wsd", "warmup_steps": 15, "decay_steps": 6},
            "must not exceed --steps 20 together",
        ),
    ],
)
def test_parts_that_the_steps_do_not_hold_are_refused(flags, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(steps=20, **flags).check_schedule()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"min_lr": 1.0, "lr": 0.5}, "--min-lr must be 0 to --lr 0.5, got 1.0"),
        ({"schedule": "step"}, "--schedule must be one of cosine, linear"),
        ({"beta2": 1.0}, "--beta2 must be at least 0 and below 1, got 1.0"),
        ({"patience": 0}, "--patience must be at least 1, got 0"),
        ({"optimizer": "eve"}, "--optimizer must be one of fused, optax, adabelief"),
    ],
)
def test_values_out_of_range_are_named(flags, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**flags)


@pytest.mark.parametrize(("steps", "warmup"), [(5, 0), (20, 2), (400, 40), (4000, 40)])
def test_the_warm_up_is_shorter_in_short_runs(steps, warmup):
    TrainConfig(steps=steps).check_schedule()
    assert TrainConfig(steps=steps).warmup == warmup
