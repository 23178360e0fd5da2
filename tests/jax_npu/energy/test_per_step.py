"""A step's energy is the difference of two runs: start-up and idling cancel."""

import numpy as np
import pytest

from jax_npu.energy import NotMeasured, Reading, StepEnergy, per_step

SOURCE = "RAPL package-0"


def test_start_up_cancels_and_idling_is_taken_off():
    random = np.random.default_rng(0)
    start_up, step, idle_watts = random.uniform(1, 50, 3)  # J, J above idle, W
    seconds = random.uniform(0.1, 2)

    def run(steps):
        taken = 3.0 + steps * seconds  # 3 s of start-up
        return [Reading(SOURCE, start_up + steps * step + idle_watts * taken, taken)]

    idle = [Reading(SOURCE, 10 * idle_watts, 10)]
    (result,) = per_step(run(5), run(21), 16, idle)
    assert result.joules == pytest.approx(step + idle_watts * seconds)
    assert result.net_joules == pytest.approx(step)
    assert result.seconds == pytest.approx(seconds)
    assert (result.source, result.steps) == (SOURCE, 16)
    assert result.flops_per_joule(7e9) == pytest.approx(7e9 / result.joules)


def test_without_a_figure_of_idling_there_is_no_net_one():
    absent = NotMeasured(SOURCE, "it slept")
    short, long = [Reading(SOURCE, 10, 1)], [Reading(SOURCE, 30, 3)]
    for idle in ((), [absent]):
        (result,) = per_step(short, long, 4, idle)
        assert result == StepEnergy(SOURCE, 4, 5.0, 0.5)
        assert result.net_joules is None


@pytest.mark.parametrize("failed", [0, 1])
def test_a_sensor_that_failed_in_one_run_gives_its_reason(failed):
    runs = [[Reading(SOURCE, 10, 1)], [Reading(SOURCE, 30, 3)]]
    runs[failed] = [NotMeasured(SOURCE, "gone")]
    assert per_step(*runs, 4) == [NotMeasured(SOURCE, "gone")]


def test_a_longer_run_that_took_less_is_no_measurement():
    (result,) = per_step([Reading(SOURCE, 10, 1)], [Reading(SOURCE, 9, 3)], 4)
    assert isinstance(result, NotMeasured)
    assert "4 more steps took 1 J less" in result.reason


@pytest.mark.parametrize("joules", [0, 5])
def test_the_npus_energy_is_not_that_of_all_products(joules):
    runs = [Reading("NPU sensor", n * joules, n) for n in (1, 3)]
    (result,) = per_step(runs[:1], runs[1:], 2)
    assert result.joules == joules
    assert result.flops_per_joule(1e9) is None
