"""`gpt2-flax bench --energy`: joules of a step by whatever the machine has."""

import json
from functools import partial

import pytest

from gpt2_flax.bench import command, energy
from gpt2_flax.bench.report import as_record, as_table, describe_energy
from gpt2_flax.bench.results import Bench, Steps
from gpt2_flax.model import GPT2Config
from jax_npu.bench import PeakMeter, wide_console
from jax_npu.energy import Meter, NotMeasured, StepEnergy, available

from ..jax_npu.energy import trees

TINY = GPT2Config(
    num_layers=1, num_heads=2, embed_dim=8, vocab_size=31, num_positions=16
)
FLAGS = "--backend xla --batch-size 1 --seq-len 8 --repeats 1 --warmup 0 --energy 0.2"
IDLE_WATTS = 7
START_UP = 11  # J, of each run's first step
SECONDS = 0.5  # of a step


class Machine:
    """A package that counts, and a clock, which both go on as work is done."""

    def __init__(self, root):
        self.root, self.now, self.microjoules = root, 0.0, 0
        trees.add_zone(root, "intel-rapl:0", "package-0")

    def spend(self, joules, seconds):
        self.now += seconds
        self.microjoules += round(1e6 * (joules + IDLE_WATTS * seconds))
        trees.set_counter(self.root, "intel-rapl:0", self.microjoules)

    def meter(self):
        self.is_cold = True
        return Meter(self.root, lambda: self.now)

    def stepper(self, joules):
        def step():
            self.spend(joules + START_UP * self.is_cold, SECONDS)
            self.is_cold = False

        return step


@pytest.fixture
def machine(tmp_path, monkeypatch):
    found = Machine(tmp_path)
    monkeypatch.setattr(energy, "Meter", found.meter)
    monkeypatch.setattr(energy, "available", partial(available, tmp_path))
    monkeypatch.setattr(energy.time, "sleep", lambda seconds: found.spend(0, seconds))
    return found


def test_each_contenders_step_is_the_difference_of_two_runs(machine):
    steppers = [machine.stepper(joules) for joules in (3.0, 8.0)]
    results = energy.measure_energy(steppers, [SECONDS, SECONDS], 12.0)
    for joules, (rapl, battery, npu) in zip((3, 8), results):
        assert rapl.joules == pytest.approx(joules + IDLE_WATTS * SECONDS)
        assert rapl.net_joules == pytest.approx(joules)
        assert rapl.idle_watts == pytest.approx(IDLE_WATTS)
        assert rapl.steps == 24 - 6
        assert {type(battery), type(npu)} == {NotMeasured}


@pytest.mark.parametrize(
    ("step_seconds", "seconds", "steps"),
    [(0.5, 20, (10, 40)), (7, 20, (1, 3)), (300, 20, (1, 2)), (0.3, 20, (16, 67))],
)
def test_runs_are_as_long_as_asked_and_of_different_length(
    step_seconds, seconds, steps
):
    assert energy.run_lengths(step_seconds, seconds) == steps


def test_without_a_sensor_nothing_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "available", partial(available, tmp_path))
    (results,) = energy.measure_energy([lambda: pytest.fail("a step")], [1.0], 20.0)
    assert [type(one) for one in results] == [NotMeasured] * 3


def bench_with(*energies):
    contenders = [
        Steps(name, {}, 4.0, [2.0], [1.0], None, 100, found)
        for name, found in zip(("host", "xla"), energies)
    ]
    return Bench(contenders, PeakMeter(), 6 * 10**9, 50, 0.0)


def printed(bench, capsys):
    wide_console().print(as_table(bench))
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_table_has_gross_and_net_joules_of_each_sensor(capsys):
    rapl = StepEnergy("RAPL package-0", 30, 24.0, 2.0, 5.0)
    npu = StepEnergy("NPU sensor", 30, 0.0, 2.0, 0.0)
    bench = bench_with([rapl, npu], [NotMeasured("RAPL package-0", "stood still")])
    rows = printed(bench, capsys)
    for row in (
        ["joules:", "mean", "of", "steps", "30"],
        ["RAPL", "package-0:", "J/step", "24"],
        ["RAPL", "package-0:", "net", "of", "idle", "14"],
        ["RAPL", "package-0:", "J/token", "0.48"],
        ["RAPL", "package-0:", "GFLOP/J", "(FLOPS/Ws)", "0.25"],
        ["NPU", "sensor:", "J/step", "0"],
    ):
        assert row in rows
    assert not any("GFLOP/J" in row for row in rows if row[:1] == ["NPU"])
    line = describe_energy(bench)
    assert "idle: RAPL package-0 5 W, NPU sensor 0 W" in line
    assert "not measured (RAPL package-0: stood still)" in line
    ours, theirs = as_record(bench)["contenders"]
    assert ours["energy"][0]["net_joules"] == 14
    assert ours["energy"][0]["flops_per_joule"] == 6e9 / 24
    assert theirs["energy"] == [
        {"source": "RAPL package-0", "reason": "stood still", "remedy": ""}
    ]


def test_the_benchmark_measures_where_asked(tmp_path, monkeypatch, capsys):
    """On a machine with a battery, whose figure does not change."""
    trees.add_battery(tmp_path, power_now=10_000_000)
    monkeypatch.setattr(energy, "Meter", partial(Meter, tmp_path))
    monkeypatch.setattr(energy, "available", partial(available, tmp_path))
    monkeypatch.setattr(command, "choose_model", lambda config: TINY)
    assert command.main([*FLAGS.split(), "--json"]) == 0
    (contender,) = json.loads(capsys.readouterr().out)["contenders"]
    _, battery, _ = contender["energy"]
    assert battery["joules"] == pytest.approx(10 * battery["seconds"])
    assert battery["net_joules"] == pytest.approx(0, abs=1e-6)
    assert battery["joules_per_token"] == battery["joules"] / 8


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_run_needs_a_length(capsys, seconds):
    assert command.main(["--backend", "xla", "--energy", seconds]) == 2
    error = capsys.readouterr().err
    assert "--energy must be above 0 and finite" in error
    assert error.count("\n") == 1
