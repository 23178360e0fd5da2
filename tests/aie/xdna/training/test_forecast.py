"""The forecast of a step agrees with the simulator, the paper, and published sizes."""

from collections import Counter

import pytest

from xdna.arithmetics import arithmetic_of_chip
from xdna.gemm.array import default_array
from xdna.gemm.tiling import make_plan
from xdna.machines import DEFAULT_MACHINES, MACHINES
from xdna.placement.host_table import HostTable, points
from xdna.placement.product import HOST, NPU
from xdna.simulator.timed_run import TimedArray
from xdna.timing import timing
from xdna.training.assumptions import EXPECTED
from xdna.training.forecast import costs_in, forecast_step
from xdna.training.models import MODELS, Gpt2, model_named
from xdna.training.paper import REPORTED, compare_with_paper
from xdna.training.step import optimizer_bytes, training_step

GPT2 = MODELS["gpt2"]
SIMULATED = 0.1  # error allowed in the array's time, relative to the virtual NPU's

# Parameters as OpenAI and Hugging Face publish them.
PARAMETERS = {
    "distilgpt2": 81_912_576,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_models_have_their_published_number_of_parameters(name):
    assert MODELS[name].num_parameters == PARAMETERS[name]


def test_an_update_of_124m_parameters_moves_4_23_gb():
    assert optimizer_bytes(GPT2) == pytest.approx(4.23e9, rel=1e-3)


@pytest.mark.parametrize("machine", DEFAULT_MACHINES.values())
def test_the_time_on_the_device_is_the_simulators(machine):
    """All products of a step on the array, attention's among them."""
    found = forecast_step(GPT2, 4, 64, MACHINES[machine]).ways["npu"]
    device = MACHINES[machine].device
    times, arithmetic = timing(device, MACHINES[machine]), arithmetic_of_chip(device)
    array = default_array(device)
    npu = TimedArray(array, times, arithmetic)
    calls = Counter(n.product for n in training_step(GPT2, 4, 64, 1.0) if n.product)
    simulated = 0.0
    for one, count in calls.items():
        sizes, orders = (one.batch, one.m, one.k, one.n), (one.a_order, one.b_order)
        simulated += count * npu.seconds(make_plan(array, *sizes, *orders))
    forecast = found.parts["array"] + found.parts["launch"]
    assert forecast == pytest.approx(simulated, rel=SIMULATED)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("sizes", [("gpt2", 4, 64), ("distilgpt2", 1, 512)], ids=str)
def test_auto_takes_no_longer_than_a_side_alone(machine, sizes):
    name, batch_size, seq_len = sizes
    ways = forecast_step(MODELS[name], batch_size, seq_len, MACHINES[machine]).ways
    for side in HOST, NPU:
        assert ways["auto"].seconds.expected <= ways[side].seconds.expected
    for way in ways.values():
        for one in way.seconds, way.times_host:
            assert one.low <= one.expected <= one.high
        assert (way.joules is None) == (MACHINES[machine].power.idle is None)


def test_auto_for_energy_takes_no_more_joules():
    found = {
        objective: forecast_step(GPT2, 4, 64, MACHINES["hx370"], objective).ways
        for objective in ("time", "energy")
    }
    least = found["energy"]["auto"].joules.expected
    for way in (*found["time"].values(), found["energy"][HOST], found["energy"][NPU]):
        assert least <= way.joules.expected
    fastest = found["time"]["auto"].seconds.expected
    assert fastest <= found["energy"]["auto"].seconds.expected


def test_the_papers_ratios_on_mains_follow_from_its_design():
    values = compare_with_paper(MACHINES["7940hs"])
    for what in "GEMMs", "step":
        expected, low, high = values[what]
        assert expected == pytest.approx(REPORTED[what], rel=0.15)
        assert low < REPORTED[what] < high
    expected, low, high = values["power"]
    assert 0.8 < low <= expected <= high < 1
    # With the reported speed on battery.
    energy = REPORTED["step on battery"] / expected
    assert energy == pytest.approx(REPORTED["energy"], rel=0.05)


def test_a_measured_cpu_takes_the_place_of_the_profiles():
    table = HostTable(dict.fromkeys(points(), 1e-6), 1e12, "fast", 64)
    machine = MACHINES["7940hs"]
    profile = forecast_step(GPT2, 4, 64, machine).ways[HOST]
    measured = forecast_step(GPT2, 4, 64, machine, table=table).ways[HOST]
    product = next(n.product for n in training_step(GPT2, 4, 64, 1.0) if n.product)
    costs = costs_in(EXPECTED, machine, table)
    assert costs.host.seconds(product) == table.seconds(product)
    assert measured.parts["host"] < 0.1 * profile.parts["host"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "a batch of at least 1 and texts of 1 to 1024 tokens, got"),
        ({"seq_len": 1025}, "got 4 x 1025"),
        ({"objective": "energy"}, "needs the watts of 7940hs"),
    ],
)
def test_a_bad_step_is_one_clear_line(change, message):
    arguments = {"batch_size": 4, "seq_len": 64} | change
    with pytest.raises(ValueError, match=message):
        forecast_step(Gpt2(1, 1, 64), machine=MACHINES["7940hs"], **arguments)


def test_an_unknown_model_is_one_clear_line():
    with pytest.raises(ValueError, match=r"model must be one of distilgpt2, .*'gpt3'"):
        model_named("gpt3")
