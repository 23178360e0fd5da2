"""The queue of the NPU: every task ends once, whatever the driver does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import jax_npu
from jax_npu.runtime import designs, extension
from jax_npu.runtime.target import DRIVERS

ROOT = Path(__file__).parents[3]
NUM_TASKS = 2000

needs_sim = pytest.mark.skipif(
    not jax_npu.backends()["sim"].available, reason="sim cannot run here"
)


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """Compiles a program of `tests/xla_ffi/` with sources of `xla_ffi/`."""

    def build(main, *sources, libraries=()):
        name = Path(main).name
        program = tmp_path_factory.mktemp(name) / name
        flags = ["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]
        files = [
            ROOT / "tests/xla_ffi" / f"{main}.cc",
            *(ROOT / "xla_ffi" / source for source in sources),
        ]
        command = ["g++", *flags, "-I", ROOT, *files, "-o", program, *libraries, "-ldl"]
        subprocess.run(command, check=True)
        return program

    return build


@pytest.fixture(scope="session")
def queue_main(build, library_path):
    """Links the library that the tests of checks compile, for its checks."""
    sources = ["npu/images/image_cache.cc", "npu/queue.cc"]
    sources += ["trace/parts.cc", "trace/recorder.cc"]
    return build("npu/queue_main", *sources, libraries=[library_path])


def run(program, *arguments):
    # These programs are compiled without a sanitizer, whose runtime may be preloaded.
    clean = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    done = subprocess.run(
        [program, *map(str, arguments)],
        env=clean,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_without_failures_every_task_runs_once(queue_main):
    counts = json.loads(run(queue_main, NUM_TASKS, 0, 0))
    assert counts == {"errors": 0, "runs": NUM_TASKS, "resets": 0}


@pytest.mark.parametrize("chance", [30, 300])
@pytest.mark.parametrize("seed", range(4))
def test_every_task_ends_once_whatever_fails(queue_main, chance, seed):
    """The queue keeps the rules of the driver too: see queue_main.cc."""
    counts = json.loads(run(queue_main, NUM_TASKS // 10, chance, seed))
    assert counts["resets"] > 0
    assert counts["runs"] >= NUM_TASKS // 10
    assert counts["errors"] <= 2  # four failures of one task in a row


def test_a_driver_that_always_fails_makes_every_task_an_error(queue_main):
    counts = json.loads(run(queue_main, 3, 1, 0))
    assert counts["errors"] == 3


@needs_sim
def test_threads_that_allocate_keep_no_more_contexts_than_work(build, tmp_path):
    if os.environ.get("LD_PRELOAD"):
        pytest.skip("the library needs a sanitizer's runtime, the program has none")
    library = extension.library_path(DRIVERS["sim"])
    run(build("driver/contexts_main"), library, designs.simulated_design("npu1"))


@needs_sim
@pytest.mark.parametrize("value", ["0", "nan", "5 s", "1e300"])
def test_a_watchdog_that_is_no_time_is_an_error(value):
    program = 'import jax_npu; jax_npu.matmul([[1.0]], [[1.0]], backend="sim")'
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "JAX_NPU_WATCHDOG_SECONDS": value},
        capture_output=True,
        text=True,
    )
    expected = (
        "the NPU does not open: JAX_NPU_WATCHDOG_SECONDS must be a number from 0.001 "
        f"to 1000000, got '{value}'; correct or unset it"
    )
    assert expected in done.stderr
