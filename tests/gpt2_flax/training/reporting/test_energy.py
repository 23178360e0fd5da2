"""The energy that a training run prints is that of its steps alone."""

import numpy as np
import pytest

from gpt2_flax.training.reporting.energy import TrainingEnergy, describe_energy
from jax_npu.energy import Meter, StepEnergy

from ....jax_npu.energy import trees

ZONE = "intel-rapl:0"


class Run:
    """Spends energy on a machine whose package counts it; a second for each thing."""

    def __init__(self, root):
        self.root, self.now, self.microjoules = root, 0.0, 0
        trees.add_zone(root, ZONE, "package-0")

    def spend(self, joules):
        self.now += 1
        self.microjoules += round(joules * 1e6)
        trees.set_counter(self.root, ZONE, self.microjoules)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_compilation_validations_and_checkpoints_do_not_count(run, tmp_path):
    random = np.random.default_rng(0)
    counted = []
    with Meter(tmp_path, lambda: run.now) as meter:
        energy = TrainingEnergy(meter)
        for length in (4, 1, 3):  # steps between validations
            for step in range(length):
                joules = float(random.uniform(1, 9))
                run.spend(1000 if step == 0 else joules)  # the first one compiles
                energy.count_step()
                counted += [joules] if step else []
            energy.pause()
            run.spend(500)
    (rapl, *_) = energy.per_step()
    assert isinstance(rapl, StepEnergy)
    assert rapl.steps == len(counted) == 5
    assert rapl.joules == pytest.approx(np.mean(counted), abs=1e-6)
    assert rapl.seconds == 1
    assert describe_energy(energy, 10, int(rapl.joules * 2e9)) == (
        f"energy: {rapl.joules:.3g} J per step, {rapl.joules / 10:.3g} J per token, "
        "2 GFLOP/J (RAPL package-0, mean of 5 steps)"
    )


def test_a_run_of_single_steps_is_not_measured(run, tmp_path):
    with Meter(tmp_path, lambda: run.now) as meter:
        energy = TrainingEnergy(meter)
        for _ in range(3):
            run.spend(5)
            energy.count_step()
            energy.pause()
    assert describe_energy(energy, 10, 10**9) == (
        "energy: not measured (no two steps followed each other)"
    )


def test_a_sensor_that_fails_between_validations_gives_its_reason(run, tmp_path):
    with Meter(tmp_path, lambda: run.now) as meter:
        energy = TrainingEnergy(meter)
        for _ in range(2):
            for _ in range(3):
                run.spend(5)
                energy.count_step()
            energy.pause()
            (tmp_path / trees.ZONES / ZONE / "energy_uj").unlink(missing_ok=True)
            run.spend = lambda joules: None
    line = describe_energy(energy, 10, 10**9)
    assert line.startswith("energy: not measured (RAPL package-0: /sys/class/powercap/")
    assert line.count("\n") == 0
