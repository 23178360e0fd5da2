"""`gpt2-flax train` and `bench` start over where glibc's allocator can be tuned."""

import os

import pytest

from gpt2_flax import __main__ as gpt2_flax
from gpt2_flax import allocator

STARTS = """
from gpt2_flax.allocator import restart_with_tuned_allocator
print("starts", flush=True)
restart_with_tuned_allocator()
"""
# Touches and frees 64 MB, again and again, from a thread.
FAULTS = """
import resource, threading
def touch():
    for _ in range(20):
        b"x" * (1 << 26)
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=touch)
    thread.start()
    thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.fixture
def restarts(monkeypatch):
    """A list of the restarts that the program asks for, which do not happen."""
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("glibc", "2.35"))
    monkeypatch.setenv(allocator.VARIABLE, "")  # recorded, so that the end restores it
    monkeypatch.delenv(allocator.VARIABLE)
    commands = []
    monkeypatch.setattr(os, "execv", lambda *command: commands.append(command))
    return commands


def test_a_program_starts_over_once(restarts):
    allocator.restart_with_tuned_allocator()
    allocator.restart_with_tuned_allocator()
    assert len(restarts) == 1


@pytest.mark.parametrize("libc", [("glibc", "2.34"), ("", "")], ids=str)
def test_a_program_goes_on_where_a_restart_gains_nothing(restarts, monkeypatch, libc):
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: libc)
    allocator.restart_with_tuned_allocator()
    assert not restarts


def test_what_the_user_set_is_kept(restarts, monkeypatch):
    monkeypatch.setenv(allocator.VARIABLE, "glibc.malloc.hugetlb=0")
    allocator.restart_with_tuned_allocator()
    assert not restarts
    monkeypatch.setenv(allocator.VARIABLE, "glibc.cpu.x=1")
    allocator.restart_with_tuned_allocator()
    assert len(restarts) == 1
    assert os.environ[allocator.VARIABLE].startswith("glibc.cpu.x=1:glibc.malloc.")


def test_the_program_that_started_over_keeps_its_memory(run_python):
    if not allocator.knows_tunables():
        pytest.skip("this C library has no tunables")
    done = run_python(STARTS + FAULTS, GLIBC_TUNABLES="")
    assert done.returncode == 0, done.stderr
    *starts, faults = done.stdout.split()
    assert starts == ["starts", "starts"]
    assert int(faults) < 1000
    assert int(run_python(FAULTS, GLIBC_TUNABLES="").stdout) > 20 * 64 * 256 / 2


LONG = ("train", "finetune", "parity", "bench")


@pytest.mark.parametrize("command", gpt2_flax.COMMANDS)
def test_commands_that_take_minutes_start_over(restarts, monkeypatch, command):
    monkeypatch.setattr("sys.argv", ["gpt2-flax", command, "--help"])
    with pytest.raises(SystemExit):
        gpt2_flax.main()
    assert len(restarts) == (command in LONG)
