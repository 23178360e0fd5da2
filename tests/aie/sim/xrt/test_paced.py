"""The virtual XRT at the chip's pace: as long as the chip, no results, the same errors.

A busy host may answer late, so nothing here depends on how late it does.
"""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from xdna.gemm.array import GemmArray
from xdna.gemm.design import gemm_design
from xdna.gemm.runs import is_chained
from xdna.gemm.stream import run_words
from xdna.gemm.tiling import make_plan
from xdna.load.configuration import configuration
from xdna.simulator import VirtualNpu
from xdna.timing import timing

COMPLETED, ABORT, TIMEOUT = "4", "6", "8"
POISON = 0xA5


@pytest.fixture
def run(execute):
    """A function that runs a case and returns the lines that it printed."""

    def run(case, **environment):
        done = execute(case, **{"JAX_NPU_SIM_PACED": "1"} | environment)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout.splitlines()

    return run


@pytest.fixture
def c(folder):
    """A function that reads the host's memory of C, as words."""
    return lambda: np.fromfile(folder.path / "c", np.uint32)


def test_results_are_nan_in_both_types(run, c):
    assert run("right") == [COMPLETED]
    assert np.isnan(c().view(np.float32)).all()
    assert (c() & 0xFFFF == 0x7FC0).all()


@pytest.mark.parametrize("case", ["twice", "list", "five_commands"])
def test_commands_complete_in_order(run, case):
    environment = {"JAX_NPU_SIM_CHECKS": "off"} if case == "five_commands" else {}
    assert set(run(case, **environment)) == {COMPLETED}


def test_a_stream_that_hangs_is_a_timeout_with_the_reason(run, c, folder):
    (line,) = run("hang")
    assert "shim (0, 0)" in line
    assert (c() == folder.untouched.view(np.uint32).ravel()).all()
    assert run("after_a_hang", JAX_NPU_SIM_CHECKS="off") == [TIMEOUT, ABORT, COMPLETED]


@pytest.mark.parametrize("fault", ["garbage", "wrong", "untouched"])
def test_faults_of_results_do_no_harm(run, fault):
    assert run("right", JAX_NPU_SIM_FAULTS=f"{fault}@1") == [COMPLETED]


def test_other_faults_happen_as_ever(run):
    assert run("right", JAX_NPU_SIM_FAULTS="abort@1", JAX_NPU_SIM_CHECKS="off") == [
        ABORT
    ]


def test_another_value_than_0_and_1_is_reported(execute, folder):
    done = execute("right", JAX_NPU_SIM_PACED="yes")
    assert done.stderr == "jax-npu: JAX_NPU_SIM_PACED must be 0 or 1, got yes\n"
    assert folder.c == "right"  # and it computes


@pytest.fixture
def slow_folder(folder):
    """A machine with runs of some 50 ms, for slow DDR, and launches of 3 ms."""
    times = replace(timing("npu1"), ddr_bytes_per_second=2e6, launch_seconds=3e-3)
    folder.write_design(configuration(gemm_design(folder.gemm.array), times=times))
    return folder


def test_each_run_takes_the_chips_time_and_none_is_answered_early(slow_folder, run):
    submitted, answered, runs, report, device_ns = json.loads(run("timeline")[0])
    assert len(runs) == report["runs"] == 7
    lengths = [one["end_ns"] - one["start_ns"] for one in runs]
    assert [one["is_chained"] for one in runs] == [0, 0, 0, 0, 0, 1, 1]
    # The engine's time for the stream, the same whenever it runs.
    npu = VirtualNpu((slow_folder.path / "design").read_text())
    gemm = slow_folder.gemm
    buffers = gemm.buffers(*gemm.small_integers(np.random.default_rng(0)))
    for chained in (False, True):
        seconds = npu.run(gemm.words, buffers, chained).device_seconds
        of_kind = [x for x, one in zip(lengths, runs) if one["is_chained"] == chained]
        assert of_kind == pytest.approx([1e9 * seconds] * len(of_kind), abs=2)
    assert sum(lengths) == device_ns
    assert device_ns / 1e9 == pytest.approx(report["device_seconds"])
    # In order, one at a time, after the host's part of a launch.
    for before, after in pairwise(runs):
        assert before["end_ns"] <= after["start_ns"]
    first_of_command, last_of_command = (0, 1, 2, 3, 4), (0, 1, 2, 3, 6)
    for command, (first, last) in enumerate(zip(first_of_command, last_of_command)):
        assert runs[first]["start_ns"] - submitted[command] >= 3e6
        assert answered[command] >= runs[last]["end_ns"]
    # The host's part of a launch passes while an earlier command runs.
    for command, (before, after) in {3: runs[2:4], 4: runs[3:5]}.items():
        is_late = submitted[command] + 3e6 > before["end_ns"]
        assert is_late or before["end_ns"] == after["start_ns"]


def test_the_report_says_that_nothing_was_computed(run):
    *_, report, _ = json.loads(run("timeline")[0])
    assert report["arithmetic"] == "none: paced, results are stand-ins"
    *_, report, _ = json.loads(run("timeline", JAX_NPU_SIM_PACED="0")[0])
    assert report["arithmetic"] == "exact"


@pytest.mark.parametrize("device", ["npu1", "npu2"])
@pytest.mark.parametrize("sizes", [(1, 200, 100, 300), (3, 64, 64, 64)])
def test_a_run_that_is_only_timed_counts_as_one_that_computes(device, sizes, rng):
    """It takes as long, moves as much, and leaves its buffers alone."""
    array = GemmArray(device, m=16, k=16, n=16)
    text = configuration(gemm_design(array))
    plan = make_plan(array, *sizes)
    computing, timed = VirtualNpu(text), VirtualNpu(text, only_timed=True)
    for i, one in enumerate(plan.runs):
        images = plan.images(one)
        buffers = [
            rng.integers(0, 255, image.num_bytes, np.uint8) & 0x3F for image in images
        ]
        left_alone = [np.full_like(buffer, POISON) for buffer in buffers]
        words = run_words(plan, one)
        expected = computing.run(words, buffers, is_chained(i))
        assert timed.run(words, left_alone, is_chained(i)) == expected
        assert all((buffer == POISON).all() for buffer in left_alone)


def test_a_design_of_another_kind_is_timed_alike(
    sample_configuration, sample_words, sample_buffers, scale
):
    expected = VirtualNpu(sample_configuration, kernels=[scale]).run(
        sample_words, sample_buffers
    )
    assert sample_buffers[1].any()
    timed = VirtualNpu(sample_configuration, kernels=[scale], only_timed=True)
    buffers = [np.zeros_like(buffer) for buffer in sample_buffers]
    assert timed.run(sample_words, buffers) == expected
    assert not any(buffer.any() for buffer in buffers)
