"""The faults of $JAX_NPU_SIM_FAULTS, as a program that uses XRT meets them."""

import ctypes
import json
import signal
from dataclasses import dataclass

import numpy as np
import pytest

from jax_npu.runtime.extension import library_path
from xdna.simulator.library import LIBRARY

QUEUED, COMPLETED, ERROR, ABORT, TIMEOUT = "2", "4", "5", "6", "8"
FAILED = "errno {0} DRM_IOCTL_AMDXDNA_{1} IOCTL failed (err=-{0}): {2}"
EVICTED = FAILED.format(2, "EXEC_CMD", "No such file or directory")
NO_MEMORY = FAILED.format(12, "CREATE_BO", "Cannot allocate memory")
NO_CONTEXT = FAILED.format(22, "CREATE_HWCTX", "Invalid argument")
NO_DEVICE = "No such device with index '0'"
FAULTS = [
    *["timeout", "abort", "error", "garbage", "wrong", "untouched", "evicted", "stuck"],
    *["no-memory", "no-context", "gone", "away", "replaced", "kill"],
]


@dataclass
class Outcome:
    lines: list[str]
    c: str
    stderr: str
    returncode: int
    calls: dict[str, int]
    happened: dict[str, int]  # by fault
    num_buffers: int = 0
    num_contexts: int = 0


@pytest.fixture
def meet(execute, folder):
    """A function that runs a case with faults and returns its outcome."""
    poison = (folder.path / "c").read_bytes()

    def meet(case, faults="", checks="on", returncode: int | None = 0):
        (folder.path / "c").write_bytes(poison)
        (folder.path / "counts").unlink(missing_ok=True)
        done = execute(case, JAX_NPU_SIM_CHECKS=checks, JAX_NPU_SIM_FAULTS=faults)
        if returncode is not None:
            assert done.returncode == returncode, done.stdout + done.stderr
        counts, buffers, contexts = {"calls": {}, "faults": {}}, 0, 0
        if done.returncode >= 0:
            counts, buffers, contexts = json.loads((folder.path / "counts").read_text())
            assert list(counts["faults"]) == FAULTS
        happened = {name: n for name, n in counts["faults"].items() if n}
        return Outcome(
            done.stdout.splitlines(),
            (folder.path / "c").read_bytes(),
            done.stderr,
            done.returncode,
            counts["calls"],
            happened,
            buffers,
            contexts,
        )

    return meet


@pytest.fixture
def right(folder):
    return folder.right.tobytes()


@pytest.fixture
def untouched(folder):
    return folder.untouched.tobytes()


@pytest.fixture
def library():
    """The virtual NPU in this process, with faults cleared before and after."""
    library = ctypes.CDLL(str(library_path(LIBRARY)))
    library.jax_npu_sim_set_faults.restype = ctypes.c_char_p
    library.jax_npu_sim_faults_json.restype = ctypes.c_char_p
    library.jax_npu_sim_num_buffers.restype = ctypes.c_int64
    library.jax_npu_sim_num_contexts.restype = ctypes.c_int64
    library.jax_npu_sim_set_faults(b"")
    yield library
    library.jax_npu_sim_set_faults(b"")


def num_words_that_differ(a, b):
    return np.count_nonzero(np.frombuffer(a, np.uint32) != np.frombuffer(b, np.uint32))


def test_without_faults_nothing_happens_and_all_is_counted(meet, right, either):
    plain = meet("right", checks=either)
    assert (plain.lines, plain.c, plain.stderr) == ([COMPLETED], right, "")
    # Calls: 5 buffers and 5 syncs; device, design, context, start, wait and C's sync.
    assert plain.calls == {"run": 1, "buffer": 5, "context": 1, "call": 16}
    assert plain.happened == {}


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        ("timeout", [COMPLETED, TIMEOUT, ABORT, COMPLETED]),
        ("abort", [COMPLETED, ABORT, ABORT, COMPLETED]),
        ("error", [COMPLETED, ERROR, COMPLETED, COMPLETED]),
        ("evicted", [COMPLETED, EVICTED, EVICTED, COMPLETED]),
    ],
)
def test_a_run_fails_and_its_context_then_works_or_not(
    meet, right, either, fault, lines
):
    met = meet("three_runs_and_one_in_a_new_context", f"{fault}@2", either)
    assert (met.lines, met.c) == (lines, right)
    assert met.happened == {fault: 1}


def test_no_fault_revives_a_context_that_is_broken(meet, either):
    faults = "timeout@1,untouched@2,error@3"
    met = meet("three_runs_and_one_in_a_new_context", faults, either)
    assert met.lines == [TIMEOUT, ABORT, ABORT, COMPLETED]
    assert met.happened == {"timeout": 1}


def test_garbage_completes(meet, right, either):
    met = meet("right", "garbage@1", either)
    assert met.lines == [COMPLETED]
    assert num_words_that_differ(met.c, right) > 0.99 * len(right) / 4
    assert met.happened == {"garbage": 1}


def test_garbage_varies(meet):
    sums = meet("sums_of_c", "garbage@1+").lines
    assert len(set(sums)) == 3
    assert sums != meet("sums_of_c", "garbage@1+,seed=1").lines
    assert sums == meet("sums_of_c", "garbage@1+").lines


@pytest.mark.parametrize("seed", range(8))
def test_wrong_is_one_word_far_off(meet, folder, right, seed):
    met = meet("right", f"wrong@1,seed={seed}")
    assert met.lines == [COMPLETED]
    assert num_words_that_differ(met.c, right) == 1
    error = np.abs(np.frombuffer(met.c, np.float32) - folder.right.ravel())
    assert not np.nanmax(error) < 1  # the operands are small integers


@pytest.mark.parametrize("run", [1, 2])
def test_wrong_is_a_word_of_the_result(meet, right, run):
    for seed in range(8):
        met = meet("two_runs_of_a_c_with_room", f"wrong@{run},seed={seed}")
        # A right second run hides what was wrong in the first.
        assert num_words_that_differ(met.c[: len(right)], right) == run - 1
        assert met.happened == {"wrong": 1}


def test_untouched_completes(meet, untouched, either):
    met = meet("right", "untouched@1", either)
    assert (met.lines, met.c) == ([COMPLETED], untouched)


@pytest.mark.parametrize(
    ("fault", "state"), [("timeout", TIMEOUT), ("abort", ABORT), ("error", ERROR)]
)
def test_wait2_and_a_list_throw_the_state(meet, either, fault, state):
    assert meet("waited_for_with_wait2", f"{fault}@1", either).lines == [state]
    met = meet("list_with_a_fault", f"{fault}@2", either)
    assert met.lines == [state]
    assert met.calls["run"] == 3


def test_a_list_is_evicted_as_a_whole(meet, untouched, either):
    met = meet("list_that_is_not_taken", "evicted@3", either)
    assert (met.lines, met.c) == ([EVICTED], untouched)


def test_a_stuck_run_times_out_until_its_context_closes(meet, untouched, either):
    met = meet("waits_of_20_ms", "stuck@1", either)
    assert met.lines == [TIMEOUT] * 3 + ["timeout", QUEUED]
    assert (met.c, met.num_contexts) == (untouched, 0)
    met = meet("waits_of_20_ms_for_a_list", "stuck@2", either)
    assert (met.lines, met.c) == (["timeout"] * 2, met.c)


def test_no_memory_for_a_buffer(meet, either):
    lines = meet("forty_buffers", "no-memory@6+", either).lines
    length_and_rest = ", len=4096, prot=3, flags=8209, offset=4294967296) failed "
    for i, line in enumerate(lines):
        if i % 2 == 1:
            assert line == NO_MEMORY  # on the caller's memory
        else:
            assert line.startswith("errno 11 mmap(addr=0x") or i == 0
            assert line.endswith(
                length_and_rest + "(err=-11): Resource temporarily unavailable"
            )


def test_no_context(meet, either):
    lines = meet("eight_contexts", "no-context@3,no-context@5+", either).lines
    assert lines == [COMPLETED, NO_CONTEXT, COMPLETED, *[NO_CONTEXT] * 5]


def test_a_device_that_is_gone_answers_no_call(meet, either):
    met = meet("every_call", checks=either)
    ioctls = "GET_INFO CREATE_HWCTX CREATE_BO SYNC_BO EXEC_CMD WAIT_CMD WAIT_CMD "
    ioctls += "EXEC_CMD WAIT_CMD"
    gone = [FAILED.format(19, ioctl, "No such device") for ioctl in ioctls.split()]
    assert met.lines == [NO_DEVICE, *gone, COMPLETED]


def test_a_device_is_gone_for_good(meet):
    # The first of the calls after the 13 of setting up is the first run's start.
    met = meet("three_runs_and_one_in_a_new_context", "gone@14", returncode=1)
    gone = FAILED.format(19, "EXEC_CMD", "No such device")
    assert met.lines == [*[gone] * 3, f"unexpected: {NO_DEVICE}"]
    assert met.happened == {"gone": 1}


def test_the_process_is_killed_at_any_call_and_the_next_works(meet, untouched, right):
    plain = meet("right")
    for call in range(1, plain.calls["call"] + 1):
        killed = meet("right", f"kill@{call}", returncode=-signal.SIGKILL)
        # The 15th call is the wait; the state is printed after it.
        assert killed.lines == ([COMPLETED] if call == 16 else [])
        assert killed.c == untouched
    one_more = meet("right", f"kill@{plain.calls['call'] + 1}")
    assert (one_more.lines, one_more.c) == ([COMPLETED], right)


@pytest.mark.parametrize("one_in", [1, 4, 7])
def test_one_in_each_n_runs(meet, one_in):
    places = set()
    for seed in range(3):
        met = meet("sixty_runs", f"error/{one_in},seed={seed}")
        windows = [met.lines[i : i + one_in] for i in range(0, 60, one_in)]
        whole = [window for window in windows if len(window) == one_in]
        assert [window.count(ERROR) for window in whole] == [1] * len(whole)
        assert met.happened == {"error": met.lines.count(ERROR)}
        places |= {window.index(ERROR) for window in whole}
    assert places == set(range(one_in))


def test_one_in_each_n_buffers(meet):
    lines = meet("forty_buffers", "no-memory/9,seed=1").lines
    numbers = [5 + i for i, line in enumerate(lines) if line != COMPLETED]
    assert [number // 9 for number in numbers if number >= 9] == [1, 2, 3, 4]


def test_a_seed_makes_the_same_faults_again(meet):
    def lines(seed):
        return meet("sixty_runs", f"error/9,untouched/8,seed={seed}").lines

    assert lines(5) == lines(5)
    assert lines(5) != lines(6)


def test_run_is_any_of_five_faults(meet):
    happened = {}
    for seed in range(40):
        faults = meet("right", f"run@1,seed={seed}").happened
        assert sum(faults.values()) == 1
        happened |= faults
    assert set(happened) == {"timeout", "abort", "garbage", "untouched", "evicted"}


def test_of_several_faults_the_first_counts(meet):
    assert meet("right", "abort@1,timeout@1").lines == [ABORT]
    assert meet("right", "timeout@1,abort@1").lines == [TIMEOUT]


def test_threads_share_the_counts(meet):
    met = meet("threads", "error/4")
    assert met.lines == [f"{COMPLETED} 60", f"{ERROR} 20"]
    assert met.calls["run"] == 80
    assert met.happened == {"error": 20}


def test_threads_share_the_end_of_a_context(meet):
    # Runs submitted before still complete. Others are refused, which prints state 0.
    met = meet("threads", "evicted@30")
    assert met.lines == ["0 51", f"{COMPLETED} 29"]


def test_buffers_and_contexts_are_counted_while_they_live(meet):
    assert meet("alive").lines == ["5", "4", "1"]


@pytest.mark.parametrize("fault", [*FAULTS[:-1], "run"])
@pytest.mark.parametrize("at", ["@1", "@2", "/2,seed=1", "@1+"])
def test_nothing_is_left_over(meet, fault, at):
    # Some faults end the program while it sets up.
    met = meet("waits_of_20_ms", fault + at, returncode=None)
    assert (met.num_buffers, met.num_contexts) == (0, 0)


@pytest.mark.parametrize("spec", ["", "timeout@1", "run/7,seed=3", "kill@1+,gone/2"])
def test_a_good_spec_is_taken(library, spec):
    assert library.jax_npu_sim_set_faults(spec.encode()) is None


WHEN = "must say when, with a number from 1 on: abort@3, abort@3+ or abort/3"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tiemout@3", f"'tiemout@3' names no fault; known are {', '.join(FAULTS)}, "),
        ("abort", f"'abort' {WHEN}"),
        ("abort@", f"'abort@' {WHEN}"),
        ("abort@0", f"'abort@0' {WHEN}"),
        ("abort/0", f"'abort/0' {WHEN}"),
        ("abort/3+", f"'abort/3+' {WHEN}"),
        ("abort@-1", f"'abort@-1' {WHEN}"),
        ("abort@ 1", f"'abort@ 1' {WHEN}"),
        ("abort@99999999999999999999", f"'abort@99999999999999999999' {WHEN}"),
        ("timeout@1,abort@x,kill", f"'abort@x' {WHEN}"),
        ("timeout@1,", "'' names no fault"),
        (",", "'' names no fault"),
        ("seed=", "'seed=' must be a number from 0 on"),
        ("seed=-1,abort@1", "'seed=-1' must be a number from 0 on"),
    ],
)
def test_a_bad_spec_is_refused_in_one_line(library, meet, spec, message):
    refused = library.jax_npu_sim_set_faults(spec.encode()).decode()
    assert refused.startswith(message)
    assert "\n" not in refused
    met = meet("right", spec, returncode=1)
    assert met.stderr == f"jax-npu: JAX_NPU_SIM_FAULTS: {refused}\n"
    assert met.lines == [f"unexpected: JAX_NPU_SIM_FAULTS: {refused}"]


def test_the_library_reports_what_is_alive_and_what_happened(library):
    assert library.jax_npu_sim_num_contexts() >= 0
    assert library.jax_npu_sim_num_buffers() >= 0
    told = json.loads(library.jax_npu_sim_faults_json())
    assert told == {
        "calls": dict.fromkeys(("run", "buffer", "context", "call"), 0),
        "faults": dict.fromkeys(FAULTS, 0),
    }
