"""Traces of custom calls, as Perfetto reads them."""

import json

import jax
import jax.numpy as jnp
import pytest

import jax_npu
from jax_npu.runtime.call_trace import trace_events


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
        return [event for event in record["traceEvents"] if event["ph"] == "X"]

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
    names = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
    assert list(names.values()) == [
        "sim, called from thread 7",
        "sim, called from thread 7 (2)",
    ]
    spans = [(e["ts"], e["dur"], names[e["tid"]][-3:]) for e in events[2:]]
    assert spans == [
        *[(0, 3, "d 7"), (4, 4, "d 7")],
        *[(5, 1, "(2)"), (6, 1, "(2)")],
    ]
    assert events[2]["name"] == "2 x (1, 2) x (2, 3)"


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
