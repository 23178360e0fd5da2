"""Energy is read from files as Linux has them, and never made up."""

import os
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

import jax_npu
from jax_npu.energy import Meter, NotMeasured, Reading, available, meter

from . import trees

NOBODY = 65534  # a user who is not root
MICRO = 1e-6


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def measure(tmp_path, clock, monkeypatch):
    """A function: the meter of the steps given, each of some seconds and one sample.

    A step is a function that changes files of the tree. No thread samples besides.
    """
    monkeypatch.setattr(meter, "INTERVAL_SECONDS", 1e9)

    def run(*steps, seconds=1.0):
        with Meter(tmp_path, clock) as measured:
            for step in steps:
                step()
                clock.now += seconds
                measured.sample()
        return measured

    return run


def counts(root, zone, microjoules):
    return lambda: trees.set_counter(root, zone, microjoules)


def by_source(measured):
    return {one.source.split()[0]: one for one in measured.readings()}


def reason(measured, source):
    one = by_source(measured)[source]
    assert isinstance(one, NotMeasured)
    return one.reason


def test_a_package_is_counted_through_every_wrap_around(tmp_path, measure):
    random = np.random.default_rng(0)
    added = random.integers(1, trees.RANGE, 20).tolist()
    first = int(random.integers(trees.RANGE))
    counters = np.cumsum([first, *added]) % trees.RANGE
    assert (np.diff(counters) < 0).any()
    trees.add_zone(tmp_path, "intel-rapl:0", "package-0", first)
    measured = measure(*(counts(tmp_path, "intel-rapl:0", c) for c in counters[1:]))
    assert measured.joules == pytest.approx(sum(added) * MICRO)
    assert measured.source == "RAPL package-0"
    (reading, *_) = measured.readings()
    assert reading.seconds == 20


def test_packages_add_up_and_their_parts_are_not_counted_again(tmp_path, measure):
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "uncore",
        "intel-rapl:1:0": "dram",
        "intel-rapl-mmio:0": "package-0",
    }
    for zone, name in zones.items():
        trees.add_zone(tmp_path, zone, name)
    steps = [counts(tmp_path, z, 10**i * 10**6) for i, z in enumerate(zones)]
    measured = measure(lambda: [step() for step in steps])
    assert measured.joules == pytest.approx(1 + 10)
    assert measured.source == "RAPL package-0+package-1"


def test_one_counter_that_stands_still_spoils_the_sum(tmp_path, measure):
    trees.add_zone(tmp_path, "intel-rapl:0", "package-0")
    trees.add_zone(tmp_path, "intel-rapl:1", "package-1", 7)
    measured = measure(counts(tmp_path, "intel-rapl:0", 5_000_000), seconds=3)
    assert measured.joules is None
    assert reason(measured, "RAPL") == (
        "/sys/class/powercap/intel-rapl:1/energy_uj stood still for 3 s"
    )


@pytest.fixture
def as_nobody():
    """A folder, in which the test is a user who is not root, whoever runs it."""
    root = Path(tempfile.mkdtemp())  # tmp_path lies in a folder of the user's own
    root.chmod(0o755)
    if is_root := os.geteuid() == 0:
        os.seteuid(NOBODY)
    yield root
    if is_root:
        os.seteuid(0)
    shutil.rmtree(root)


def test_counters_that_only_root_may_read_name_the_command(as_nobody):
    uid = os.geteuid()
    os.seteuid(os.getuid())
    trees.add_zone(as_nobody, "intel-rapl:0", "package-0")
    trees.set_counter(as_nobody, "intel-rapl:0", 1).chmod(0o000)
    os.seteuid(uid)
    with Meter(as_nobody) as measured:
        pass
    assert measured.joules is measured.source is None
    assert str(measured).count("\n") == 0
    assert str(measured).startswith(
        "not measured (RAPL: only root may read /sys/class/powercap/intel-rapl:0/"
        "energy_uj (to allow it: sudo chmod a+r /sys/class/powercap/"
        "intel-rapl:?/energy_uj); battery: none in "
    )


def test_battery_power_is_integrated_over_uneven_samples(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(meter, "INTERVAL_SECONDS", 1e9)
    random = np.random.default_rng(1)
    watts = random.uniform(5, 40, 30).round(6)
    times = np.cumsum(random.uniform(0.1, 2, 30))
    trees.add_battery(tmp_path, power_now=round(watts[0] * 1e6))
    clock.now = times[0]
    with Meter(tmp_path, clock) as measured:
        for clock.now, power in zip(times[1:], watts[1:]):
            trees.add_battery(tmp_path, power_now=round(power * 1e6))
            measured.sample()
    assert measured.joules == pytest.approx(np.trapezoid(watts, times))
    assert measured.source == "battery BAT0"


@pytest.mark.parametrize(
    ("files", "watts"),
    [
        ({"power_now": 12_500_000}, 12.5),
        ({"power_now": -12_500_000}, 12.5),  # signed by some drivers
        ({"current_now": 1_500_000, "voltage_now": 12_000_000}, 18),
        ({"current_now": -1_500_000, "voltage_now": 12_000_000}, 18),
    ],
)
def test_a_battery_gives_its_power_or_current_and_voltage(
    tmp_path, measure, files, watts
):
    trees.add_battery(tmp_path, **files)
    assert measure(lambda: None, seconds=4).joules == pytest.approx(4 * watts)


def test_of_two_batteries_the_one_in_use_counts(tmp_path, measure):
    trees.add_battery(tmp_path, "BAT0", power_now=8_000_000)
    trees.add_battery(tmp_path, "BAT1", "Not charging", power_now=0)

    def hand_over():
        trees.add_battery(tmp_path, "BAT0", "Unknown", power_now=0)
        trees.add_battery(tmp_path, "BAT1", power_now=10_000_000)

    measured = measure(lambda: None, hand_over)
    assert measured.joules == pytest.approx(8 + 9)
    assert measured.source == "battery BAT0+BAT1"


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging", "Unknown"])
def test_a_battery_that_does_not_discharge_measures_nothing(tmp_path, measure, status):
    trees.add_battery(tmp_path, "BAT0", status, power_now=9_000_000)
    measured = measure(lambda: None)
    assert measured.joules is None
    assert (
        reason(measured, "battery") == f"on mains (BAT0 {status}); unplug it to measure"
    )


def test_a_battery_that_charges_beside_one_in_use_shows_mains(tmp_path, measure):
    trees.add_battery(tmp_path, "BAT0", "Charging", power_now=20_000_000)
    trees.add_battery(tmp_path, "BAT1", power_now=9_000_000)
    measured = measure(lambda: None)
    assert reason(measured, "battery").startswith(
        "on mains (BAT0 Charging, BAT1 Discharging)"
    )


@pytest.mark.parametrize("then", ["Charging", "Discharging"])
def test_a_machine_that_was_on_mains_for_a_moment_is_not_measured(
    tmp_path, measure, then
):
    trees.add_battery(tmp_path, power_now=9_000_000)

    def plug_in():
        trees.add_battery(tmp_path, status="Charging", power_now=30_000_000)

    def and_then():
        trees.add_battery(tmp_path, status=then, power_now=9_000_000)

    assert measure(lambda: None, plug_in, and_then).joules is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"power_now": 0}, "BAT0 discharging at 0 W"),
        ({"power_now": "?"}, "/sys/class/power_supply/BAT0/power_now holds '?'"),
        ({"voltage_now": 1}, "/sys/class/power_supply/BAT0/current_now: No such file"),
    ],
)
def test_a_battery_without_a_figure_says_so(tmp_path, measure, files, message):
    trees.add_battery(tmp_path, **files)
    assert reason(measure(lambda: None), "battery").startswith(message)


def test_a_battery_that_is_taken_out_ends_its_measurement(tmp_path, measure):
    trees.add_battery(tmp_path, power_now=9_000_000)
    gone = tmp_path / trees.BATTERIES / "BAT0"
    measured = measure(lambda: None, lambda: shutil.rmtree(gone), lambda: None)
    assert reason(measured, "battery").startswith("/sys/class/power_supply/BAT0/status")


def test_the_npus_sensor_is_a_figure_of_its_own(tmp_path, measure):
    trees.add_npu(tmp_path, 5_200_000)
    measured = measure(lambda: None, seconds=2)
    assert by_source(measured)["NPU"] == Reading("NPU sensor", 10.4, 2)
    assert measured.joules is None  # a part of the machine is not the program's energy
    assert str(measured) == "10.4 J in 2 s (NPU sensor)"


def test_an_npu_that_sleeps_takes_nothing(tmp_path, measure):
    trees.add_npu(tmp_path, 0)
    assert by_source(measure(lambda: None))["NPU"].joules == 0


def test_the_packages_counters_are_preferred_to_the_battery(tmp_path, measure):
    trees.add_battery(tmp_path, power_now=9_000_000)
    trees.add_zone(tmp_path, "intel-rapl:0", "package-0")
    measured = measure(counts(tmp_path, "intel-rapl:0", 3_000_000))
    assert (measured.joules, measured.source) == (3, "RAPL package-0")
    assert by_source(measured)["battery"].joules == 9


def test_a_machine_without_sensors_is_not_measured_and_has_no_thread(tmp_path):
    before = threading.active_count()
    with jax_npu.energy.Meter(tmp_path) as measured:
        assert threading.active_count() == before
    assert measured.joules is measured.source is None
    assert str(measured) == (
        "not measured (RAPL: no package in /sys/class/powercap; battery: none in "
        "/sys/class/power_supply; NPU sensor: no amdxdna in /sys/class/hwmon)"
    )


def test_a_thread_samples_by_itself_until_the_block_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(meter, "INTERVAL_SECONDS", 0.001)
    sampled = threading.Event()

    class Watched(Meter):
        def sample(self):
            super().sample()
            if threading.current_thread() is not threading.main_thread():
                sampled.set()

    before = threading.active_count()
    trees.add_battery(tmp_path, power_now=7_000_000)
    with Watched(tmp_path) as measured:
        assert sampled.wait(10)
    joules = measured.joules
    (reading,) = [one for one in measured.readings() if isinstance(one, Reading)]
    assert joules == pytest.approx(7 * reading.seconds)
    assert threading.active_count() == before
    measured.sample()
    assert measured.joules == joules


def test_what_can_be_read_is_listed_without_measuring(tmp_path):
    trees.add_zone(tmp_path, "intel-rapl:0", "package-0")
    trees.add_battery(tmp_path, status="Full")
    found = available(tmp_path)
    assert found.sources == ["RAPL package-0"]
    assert [one.source for one in found.missing] == ["battery", "NPU sensor"]
