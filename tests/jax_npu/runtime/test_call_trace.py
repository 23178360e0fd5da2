"""Traces of custom calls, as Perfetto reads them."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from jax_npu.runtime.trace.timeline import CALLS, DEVICE, HOST, NPU, QUEUE, trace_events


def chain(a, b):
    """Three products: (8, 16) x (16, 24), one with rhs and one with lhs transposed."""
    c = jax_npu.dot_general(a, b, (((1,), (0,)), ((), ())))
    d = jax_npu.dot_general(c, b, (((1,), (1,)), ((), ())))
    return jax_npu.dot_general(a, d, (((0,), (0,)), ((), ())))


@pytest.fixture
def traced(tmp_path):
    """A function that traces one call of a compiled function; returns the events."""

    def trace(function, *arguments):
        jax.block_until_ready(function(*arguments))
        with jax_npu.trace_calls(tmp_path / "trace.json"):
            jax.block_until_ready(function(*arguments))
        record = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
        events = [event for event in record["traceEvents"] if event["ph"] == "X"]
        return [event for event in events if event["pid"] == CALLS]

    return trace


def test_every_custom_call_is_one_event(custom_call_backend, traced):
    function, operands = jax.jit(chain), (jnp.ones((8, 16)), jnp.ones((16, 24)))
    events = traced(function, *operands)
    hlo = function.lower(*operands).compile().as_text()
    assert len(events) == hlo.count(f'"xdna_gemm_{custom_call_backend}"') == 3
    assert [event["name"] for event in events] == [
        "(8, 16) x (16, 24)",
        "(8, 24) x (16, 24)ᵀ",
        "(8, 16)ᵀ x (8, 16)",
    ]
    assert {event["cat"] for event in events} == {custom_call_backend}
    assert events[0]["args"]["flops"] == 2 * 8 * 16 * 24
    assert events[0]["ts"] == 0
    assert all(event["dur"] > 0 for event in events)
    ends = [event["ts"] + event["dur"] for event in events]
    assert all(end <= event["ts"] for end, event in zip(ends, events[1:]))


def test_packed_bytes_of_calls_add_up(traced):
    before = jax_npu.counters()
    with jax_npu.backend("sim"):
        events = traced(jax.jit(chain), jnp.ones((8, 16)), jnp.ones((16, 24)))
    packed = (jax_npu.counters() - before).packed_bytes
    assert sum(e["args"]["packed_bytes"] for e in events) == packed / 2 > 0


def test_xla_makes_no_events(traced):
    with jax_npu.backend("xla"):
        assert traced(jax.jit(chain), jnp.ones((8, 16)), jnp.ones((16, 24))) == []


def test_calls_outside_the_context_are_not_recorded(traced):
    with jax_npu.backend("host"):
        traced(jax.jit(chain), jnp.ones((8, 16)), jnp.ones((16, 24)))
        jax.block_until_ready(chain(jnp.ones((8, 16)), jnp.ones((16, 24))))
        assert len(traced(jnp.matmul, jnp.ones((2, 2)), jnp.ones((2, 2)))) == 0


def test_overlapping_calls_have_tracks_of_their_own():
    call = {"backend": "sim", "batch": 2, "m": 1, "k": 2, "n": 3, "thread": 7}
    call |= {"lhs": "mk", "rhs": "kn"}
    times = [(5000, 9000), (1000, 4000), (6000, 7000), (7000, 8000)]
    events = trace_events(call | {"start_ns": a, "end_ns": b} for a, b in times)
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert list(names.values()) == [
        "sim, called from thread 7",
        "sim, called from thread 7 (2)",
    ]
    spans = [(e["ts"], e["dur"], names[e["tid"]][-3:]) for e in events[3:]]
    assert spans == [
        *[(0, 3, "d 7"), (4, 4, "d 7")],
        *[(5, 1, "(2)"), (6, 1, "(2)")],
    ]
    assert events[3]["name"] == "2 x (1, 2) x (2, 3)"


@pytest.fixture(scope="module")
def timeline(tmp_path_factory):
    """All events of three products on `sim`, one of them of several blocks."""
    path = tmp_path_factory.mktemp("timeline") / "trace.json"
    random = np.random.default_rng(1)
    x = random.standard_normal((300, 200), np.float32)
    y = random.standard_normal((200, 700), np.float32)
    with jax_npu.backend("sim"):
        function = jax.jit(chain)
        jax.block_until_ready(function(x, y))
        with jax_npu.trace_calls(path):
            jax.block_until_ready(function(x, y))
    return json.loads(path.read_text(encoding="utf-8"))["traceEvents"]


def on_tracks(events):
    """The events of each track, by its group and its name, in the order of time."""
    named = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in events
        if event["name"] == "thread_name"
    }
    tracks = {(pid, name): [] for (pid, _), name in named.items()}
    assert len(tracks) == len(named)  # no two of one name
    for event in events:
        if event["ph"] == "X":
            tracks[event["pid"], named[event["pid"], event["tid"]]].append(event)
    return tracks


def end(event):
    return event["ts"] + event["dur"]


def named(events, name):
    return [e for e in events if e["ph"] == "X" and e["name"] == name]


def test_every_event_has_a_named_track_on_which_none_overlap(timeline):
    tracks = on_tracks(timeline)  # a KeyError for an event without one
    assert {pid for pid, _ in tracks} == {CALLS, HOST, NPU}
    assert {(NPU, QUEUE), (NPU, DEVICE)} <= tracks.keys()
    for events in tracks.values():
        assert events
        for before, after in itertools.pairwise(events):
            assert end(before) <= after["ts"] + 1e-3  # ns in us


def test_host_events_of_a_product_have_its_shape_and_bytes(timeline):
    shapes = {
        "(300, 200) x (200, 700)",
        "(300, 700) x (700, 200)",
        "(200, 300) x (300, 200)",
    }
    counted = {"pack", "unpack", "flush", "allocate"}
    of_host = [e for e in timeline if e["ph"] == "X" and e["pid"] == HOST]
    assert counted | {"queue", "wait"} <= {event["name"] for event in of_host}
    for event in of_host:
        if event["name"] in counted:
            assert event["args"]["shape"] in shapes
            assert event["args"]["bytes"] > 0
    of_npu = [e for e in timeline if e["ph"] == "X" and e["pid"] == NPU]
    assert {event["name"] for event in of_npu} == shapes
    for event in of_npu:
        assert event["args"]["shape"] == event["name"]
        assert event["args"]["bytes"] > 0


def test_a_product_is_packed_run_and_unpacked_in_that_order(timeline):
    (_, runs) = next(t for t in on_tracks(timeline).items() if t[0] == (NPU, DEVICE))
    assert len(runs) == 3
    for run in runs:
        number = run["args"]["product"]
        packs, unpacks = (
            [e for e in named(timeline, name) if e["args"]["product"] == number]
            for name in ("pack", "unpack")
        )
        assert unpacks
        # Within a nanosecond, in microseconds.
        assert all(end(pack) <= run["ts"] + 1e-3 for pack in packs)
        assert all(end(run) <= unpack["ts"] + 1e-3 for unpack in unpacks)
        # c and b serve two products each, packed by the first.
    assert len({e["args"]["product"] for e in named(timeline, "pack")}) >= 2
    unpacked = sum(e["args"]["bytes"] for e in named(timeline, "unpack"))
    assert unpacked == 2 * 4 * (300 * 700 + 300 * 200 + 200 * 200)


RUN = {"product": 1, "batch": 1, "m": 2, "k": 3, "n": 4, "bytes": 5}
DEVICE_RUN = {"is_chained": 0, "macs": 1, "read_bytes": 6, "written_bytes": 2}


def device_track(runs, device_runs):
    """(start, end, product) of each event, in ns."""
    events = trace_events([], [], runs, device_runs)
    return [
        (1e3 * e["ts"], 1e3 * end(e), e["args"]["product"])
        for e in on_tracks(events)[NPU, DEVICE]
    ]


def test_a_run_on_the_device_is_that_of_the_product_submitted_for_it():
    runs = [RUN | {"start_ns": a, "end_ns": b, "product": p} for a, b, p in SUBMITTED]
    times = [(2, 4), (6, 7), (7, 9), (9, 14)]  # the first is of a self-test
    on_device = [DEVICE_RUN | {"start_ns": a, "end_ns": b} for a, b in times]
    # From the first event on, which is that of the self-test.
    assert device_track(runs, on_device) == [
        *[(0, 2, 0), (4, 5, 1), (5, 7, 2), (7, 12, 3)]
    ]


def test_without_a_virtual_device_runs_are_as_the_host_sees_them():
    runs = [RUN | {"start_ns": a, "end_ns": b, "product": p} for a, b, p in SUBMITTED]
    assert device_track(runs, []) == [(0, 3, 1), (3, 5, 2), (5, 10, 3)]


SUBMITTED = [(5, 8, 1), (5, 10, 2), (6, 15, 3)]


def test_one_trace_at_a_time(tmp_path):
    with jax_npu.trace_calls(tmp_path / "outer.json"):
        inner = jax_npu.trace_calls(tmp_path / "inner.json")
        with pytest.raises(RuntimeError, match="one trace at a time"), inner:
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["outer.json"]


def test_a_failure_writes_nothing_and_the_next_trace_works(tmp_path):
    with pytest.raises(KeyError), jax_npu.trace_calls(tmp_path / "failed.json"):
        raise KeyError
    with jax_npu.trace_calls(tmp_path / "next.json"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["next.json"]


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    context = jax_npu.trace_calls(tmp_path / "missing" / "trace.json")
    with pytest.raises(OSError, match="cannot be written"), context:
        pass
