"""The report of a run: bytes, multiply-accumulates, cycles and the trace."""

import itertools
import json
from collections import defaultdict

import pytest

from xdna.simulator import VirtualNpu

# In us: times in a trace have 15 digits.
TRACE_ERROR = 1e-6
SIZES = (2, 128, 24, 300)


@pytest.fixture(params=["npu1", "npu2"])
def gemm(request, make_gemm):
    return make_gemm(request.param, SIZES)


@pytest.fixture
def run(gemm, rng):
    def run(npu):
        return npu.run(gemm.words, gemm.buffers(*gemm.small_integers(rng)))

    return run


def test_bytes_and_macs_are_the_plans(gemm, run):
    report, plan, array = run(gemm.npu()), gemm.plan, gemm.array
    ddr, macs = plan.ddr_bytes, plan.padded.macs
    tiles = gemm.run.num_tiles * len(array.a_columns) * array.num_columns
    assert report.macs == macs
    assert report.kernel_calls == tiles * (1 + plan.k_steps)
    assert report.instruction_words == len(gemm.words)
    # A is broadcast along core rows, B down columns, after L2.
    inputs = ddr["a"] + ddr["b"]
    at_cores = ddr["a"] * array.num_columns + ddr["b"] * array.num_rows
    moved = dict(report.bytes)
    assert moved.pop("stream") > 2 * (inputs + ddr["c"])
    assert moved == {
        "ddr_read": inputs,
        "ddr_write": ddr["c"],
        "l2_write": inputs + ddr["c"],
        "l2_read": inputs + ddr["c"],
        "l1_write": at_cores,
        "l1_read": ddr["c"],
    }
    cores = [one for name, one in report.usage.items() if name[-1] == ")"]
    assert sum(core.macs for core in cores) == macs
    shims = {n: one for n, one in report.usage.items() if n.startswith("shim")}
    by_direction = [
        sum(one.bytes for name, one in shims.items() if direction in name)
        for direction in ("MM2S", "S2MM")
    ]
    assert by_direction == [inputs, ddr["c"]]


def test_busy_cycles_and_stalls_make_up_the_run(gemm, run):
    npu = gemm.npu()
    for _ in range(3):
        report = run(npu)
        for name, usage in report.usage.items():
            if not name.startswith("DDR"):
                assert usage.busy + sum(usage.stalls.values()) == report.cycles, name
            assert 0 < usage.busy < report.cycles
    total = npu.report()
    assert total.runs == 3
    assert total.cycles > 2 * report.cycles
    core = total.usage["core (0, 2)"]
    assert core.busy + sum(core.stalls.values()) == total.cycles


def test_cycles_are_those_of_launch_and_operations_and_waiting(gemm, run):
    report = run(gemm.npu())
    controller = report.usage["controller"]
    assert controller.stalls.keys() <= {"launch", "token"}
    assert controller.busy == report.controller_cycles
    assert report.device_seconds == pytest.approx(report.cycles / report.clock_hz)
    assert report.seconds == report.device_seconds + report.submission_seconds
    assert report.flops_per_second == 2 * report.macs / report.seconds
    assert 0 < report.utilisation(report.busiest) <= 1


def test_runs_after_a_reset_are_the_same(gemm, run):
    npu, other = gemm.npu(), gemm.npu()
    first = [run(npu), run(npu)]
    npu.reset()
    assert [run(npu), run(npu)] == first
    assert [run(other), run(other)] == first
    assert npu.report().runs == 4


@pytest.mark.parametrize("sizes", [(1, 64, 8, 64), (2, 64, 8, 64), (1, 128, 24, 300)])
def test_more_work_takes_longer(gemm, make_gemm, rng, sizes):
    less = make_gemm(gemm.array.device_name, sizes)
    cycles = [
        one.npu().run(one.words, one.buffers(*one.small_integers(rng))).cycles
        for one in (less, gemm)
    ]
    assert cycles[0] < cycles[1]


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("time.ddr_bytes_per_second", 1 / 50),
        ("time.matmul_exact_mkn", 200),
        ("time.kernel_call", 100),
        ("time.launch", 2),
        ("time.launch_seconds", 2),
        ("time.blockwrite_word", 3),
        ("time.first_sync", 10),
        ("time.memtile_release", 100),
        ("time.cycles_per_word", 50),
    ],
)
def test_a_slower_part_makes_the_run_longer(gemm, run, name, factor):
    slower = changed(gemm.configuration, name, factor)
    assert run(VirtualNpu(slower)).seconds > run(gemm.npu()).seconds


def changed(configuration, name, factor):
    lines = [line.split() for line in configuration.splitlines()]
    (line,) = [line for line in lines if line[:2] == ["param", name]]
    line[2] = str(float(line[2]) * factor)
    return "\n".join(map(" ".join, lines))


def test_trace_has_a_track_for_every_agent_and_its_events_sum_to_the_report(gemm, run):
    npu = gemm.npu()
    npu.start_trace()
    reports = [run(npu), run(npu)]
    events = json.loads(npu.trace())["traceEvents"]
    names = {
        event["tid"]: event["args"]["name"]
        for event in events
        if event["name"] == "thread_name"
    }
    agents = {name for name in reports[0].usage if not name.startswith("DDR")}
    assert set(names.values()) == agents
    assert len(names) == len(agents)
    tracks = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[names[event["tid"]]].append(event)
    us = 1e6 / reports[0].clock_hz
    for name, track in tracks.items():
        for before, after in itertools.pairwise(track):
            assert after["ts"] >= before["ts"] + before["dur"] - TRACE_ERROR, name
        stalls = {cause for report in reports for cause in report.usage[name].stalls}
        sums = defaultdict(float)
        for event in track:
            cause = event["name"] if event["name"] in stalls else "busy"
            sums[cause] += event["dur"]
        busy = sum(report.usage[name].busy for report in reports)
        assert sums.pop("busy") == pytest.approx(busy * us)
        for cause, duration in sums.items():
            total = sum(report.usage[name].stalls.get(cause, 0) for report in reports)
            assert duration == pytest.approx(total * us)
    assert set(tracks) == agents


def test_untraced_runs_are_not_in_the_trace(gemm, run):
    npu = gemm.npu()
    run(npu)
    assert not [e for e in json.loads(npu.trace())["traceEvents"] if e["ph"] == "X"]
