"""What helps to find a mistake in a design: trace, state, stopping, kernels' errors."""

import json
from dataclasses import replace

import numpy as np
import pytest

from xdna.simulator import Kernel, Stopped, Trap, Usage, VirtualNpu
from xdna.simulator.bounds import bound, shares


@pytest.fixture
def sample(sample_configuration, scale):
    return VirtualNpu(sample_configuration, kernels=[scale])


@pytest.fixture
def events(sample, sample_words, sample_buffers):
    """The sample's report, and its trace's events."""
    sample.start_trace()
    report = sample.run(sample_words, sample_buffers)
    return report, json.loads(sample.trace())["traceEvents"]


def names_of(events):
    return {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}


def test_moves_carry_their_bytes_and_bds_and_calls_their_steps(events):
    report, events = events
    names = names_of(events)
    moved = dict.fromkeys(names.values(), 0)
    for event in events:
        if event["ph"] == "X" and event["name"] == "moves":
            assert event["args"]["bd"] >= 0
            moved[names[event["tid"]]] += event["args"]["bytes"]
    for name, usage in report.usage.items():
        if not name.startswith("DDR"):
            assert moved[name] == usage.bytes, name
    steps = [e["args"]["step"] for e in events if e["name"] == "scale_bf16"]
    assert steps == list(range(report.kernel_calls))
    of_ddr = [e["args"] for e in events if "argument" in e.get("args", {})]
    assert {one["argument"] for one in of_ddr} == {0, 1}
    words = [e["args"]["word"] for e in events if e["name"] == "WRITE"]
    assert words == sorted(words)
    assert words[0] >= 4  # behind the header


def test_waits_name_their_lock_and_its_values(events):
    _, events = events
    waits = [e["args"] for e in events if e["ph"] == "X" and "lock" in e["args"]]
    assert {one["lock"] for one in waits} >= {"go"}
    assert all(one["value"] < one["wanted"] for one in waits)


def test_counters_of_ddr_sum_to_its_bytes_and_queues_end_empty(events):
    report, events = events
    for way, key in ("read", "ddr_read"), ("write", "ddr_write"):
        points = [e for e in events if e["name"] == f"DDR {way}"]
        width = points[1]["ts"] - points[0]["ts"]  # us
        rates = [point["args"]["GB/s"] for point in points]
        assert sum(rates) * width * 1e3 == pytest.approx(report.bytes[key], rel=1e-6)
    depths = {}
    for event in events:
        if event["ph"] == "C" and "tasks" in event["args"]:
            depths.setdefault(event["name"], []).append(event["args"]["tasks"])
    assert depths["shim (0, 0) MM2S 0 queue"][-1] == 0
    assert max(map(max, depths.values())) >= 1


def test_flows_lead_from_what_sends_to_what_receives(events):
    _, events = events
    names = names_of(events)
    begins = {e["id"]: e for e in events if e["ph"] == "s"}
    ends = {e["id"]: e for e in events if e["ph"] == "f"}
    assert begins.keys() == ends.keys()
    streams = [key for key, e in begins.items() if e["cat"] == "stream"]
    assert streams
    for key in streams:
        assert "MM2S" in names[begins[key]["tid"]]
        assert "S2MM" in names[ends[key]["tid"]]
        assert begins[key]["ts"] == ends[key]["ts"]
    # The core gets its input's lock from the channel that wrote the input.
    pairs = {
        (names[begins[key]["tid"]], names[ends[key]["tid"]])
        for key, e in begins.items()
        if e["cat"] == "lock"
    }
    assert ("core (0, 2) S2MM 0", "core (0, 2)") in pairs


def test_arguments_count_what_shims_moved_of_each(events):
    report, _ = events
    assert {
        name: (one.read, one.written) for name, one in report.arguments.items()
    } == {
        "0": (1024, 0),
        "1": (0, 1024),
    }
    # x is read in halves of rows of 16, y is written as it lies
    assert report.arguments["0"].run_bytes < report.arguments["1"].run_bytes


def test_a_run_stops_after_a_cycle_and_shows_its_state(
    sample, sample_words, sample_buffers, sample_configuration, scale
):
    other = VirtualNpu(sample_configuration, kernels=[scale])
    whole = other.run(sample_words, [x.copy() for x in sample_buffers])
    for cycle in 0, whole.cycles // 2, whole.cycles - 1:
        sample.reset()
        start = sample.state()["cycle"]
        with pytest.raises(Stopped, match=f"stopped after cycle {start + cycle}, at"):
            sample.run(sample_words, sample_buffers, stop_after=start + cycle)
        state = sample.state()
        assert start <= state["cycle"] <= start + cycle
        assert sample.report(of_all_runs=False).cycles == state["cycle"] - start
    assert {one["name"] for one in state["locks"]} >= {"go"}
    assert {one["name"] for one in state["agents"]} >= {"controller", "core (0, 2)"}
    with pytest.raises(Trap, match="reset it"):
        sample.run(sample_words, sample_buffers)
    assert sample.report().runs == 0  # of those that ended
    sample.reset()
    late = sample.state()["cycle"] + whole.cycles
    assert sample.run(sample_words, sample_buffers, stop_after=late) == whole


def test_memory_after_a_trap_is_as_it_was(
    sample_configuration, sample_words, sample_buffers
):
    def fails_late(x, y):
        y[...] = x
        calls.append(x.tobytes())
        if len(calls) == 3:
            raise ArithmeticError("three")

    calls = []
    kernel = Kernel("scale_bf16", fails_late, "rw", [np.uint8, np.uint8], cycles=100)
    npu = VirtualNpu(sample_configuration, kernels=[kernel])
    with pytest.raises(Trap, match=r"core \(0, 2\) calls scale_bf16: ArithmeticError"):
        npu.run(sample_words, sample_buffers)
    memory, buffers = npu.memory(0, 2).tobytes(), npu.state()["buffers"]
    held = [
        memory[one["address"] : one["address"] + one["bytes"]]
        for one in buffers
        if (one["column"], one["row"]) == (0, 2)
    ]
    assert calls[-1] in held
    last = npu.report(of_all_runs=False)
    assert last.cycles > 0
    assert last.usage["core (0, 2)"].busy > 0
    for column, row, message in (0, 0, "no data memory"), (9, 2, "has no tile"):
        with pytest.raises(ValueError, match=message):
            npu.memory(column, row)


def test_a_kernel_that_does_not_fit_its_call_says_so(
    sample_configuration, sample_words, sample_buffers
):
    kernel = Kernel("scale_bf16", lambda x: None, "rw", [np.uint8, np.uint8], 100)
    npu = VirtualNpu(sample_configuration, kernels=[kernel])
    with pytest.raises(Trap, match=r"TypeError: .* \(it cannot be called with its arg"):
        npu.run(sample_words, sample_buffers)


def test_what_bounds_a_run_is_its_busiest_part(small_gemm, rng):
    def run(**factors):
        lines = [line.split() for line in small_gemm.configuration.splitlines()]
        for line in lines:
            if line[0] == "param" and line[1] in factors:
                line[2] = str(float(line[2]) * factors[line[1]])
        npu = VirtualNpu("\n".join(map(" ".join, lines)), "fast")
        buffers = small_gemm.buffers(*small_gemm.small_integers(rng))
        return npu.run(small_gemm.words, buffers)

    assert bound(run(**{"time.kernel_call": 1e4})).startswith("cores ")
    slow = run(**{"time.ddr_bytes_per_second": 1e-3})
    moved = slow.bytes["ddr_read"] + slow.bytes["ddr_write"]
    assert bound(slow).startswith("DDR ")
    assert f"{moved / slow.device_seconds / 1e9:.1f} GB/s" in bound(slow)
    assert bound(run(**{"time.launch": 1e3})).startswith("launch ")
    core = {"core (0, 2)": Usage(40, 0, 0, {"go": 60}), "DDR": Usage(30, 0, 0)}
    waiting = replace(slow, cycles=100, usage=core)
    assert shares(waiting) == {"cores": 0.4, "DDR": 0.3}
    assert bound(waiting).startswith("waits: nothing is busy for half of the time; co")
