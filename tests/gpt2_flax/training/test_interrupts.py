"""A Ctrl-C is one, wherever a checkpoint's library meets it."""

import asyncio
import signal
import threading

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from gpt2_flax import run
from gpt2_flax.errors import one_line_errors
from gpt2_flax.interrupts import interrupts_deferred

SHAPES = {"params": {"w": jax.ShapeDtypeStruct((3,), np.float32)}}


@pytest.fixture(autouse=True)
def usual_handler():
    """Python's own, which a process in the background may lack."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@one_line_errors
def restore(out):
    run.restore_checkpoint(out, SHAPES)
    return 0


@pytest.fixture
def out(tmp_path):
    with run.open_checkpoints(tmp_path) as checkpoints:
        params = {"w": np.ones(3, np.float32)}
        run.save_checkpoint(checkpoints, 1, {"params": params})
    return tmp_path


def interrupted_by(monkeypatch, act):
    """Has each restore of Orbax begin with `act`; returns those that ended."""
    stock, ended = ocp.CheckpointManager.restore, []

    def restore(*arguments, **options):
        act()
        items = stock(*arguments, **options)
        ended.append(items)
        return items

    monkeypatch.setattr(ocp.CheckpointManager, "restore", restore)
    return ended


def interrupt():
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_orbax_would_turn_into_an_error_is_one(out, monkeypatch):
    def act():
        try:
            interrupt()
        except KeyboardInterrupt:
            raise RuntimeError("Cannot close a running event loop") from None

    interrupted_by(monkeypatch, act)
    assert restore(out) == 130
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_acts_once_a_checkpoint_is_read(out, monkeypatch):
    ended = interrupted_by(monkeypatch, interrupt)
    assert restore(out) == 130
    assert ended


def test_a_second_one_acts_at_once(out, monkeypatch):
    def act():
        interrupt()
        interrupt()

    ended = interrupted_by(monkeypatch, act)
    assert restore(out) == 130
    assert not ended


def test_an_error_after_one_is_not_what_the_caller_gets(out, monkeypatch):
    def act():
        interrupt()
        raise RuntimeError("a broken file")

    interrupted_by(monkeypatch, act)
    assert restore(out) == 130


def test_without_one_an_error_is_what_it_was(out, monkeypatch):
    assert restore(out) == 0

    def act():
        raise RuntimeError("a broken file")

    interrupted_by(monkeypatch, act)
    assert restore(out) == 2


def test_other_threads_and_handlers_are_left_alone():
    async def work():
        with interrupts_deferred():
            return signal.getsignal(signal.SIGINT)

    found = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(work())))
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_deferred():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, usual)
