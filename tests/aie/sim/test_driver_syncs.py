"""Every copy between the host's and the device's memory is made, and is needed.

The driver and the code that packs for it are compiled with one sync left out at a time.
Two products on other operands must then be wrong, or refused where the checks are on.
"""

import itertools
import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from jax_npu.lowering.plans import product_plan, self_test_plan
from jax_npu.runtime.designs import simulated_design
from jax_npu.runtime.extension import library_path
from xdna.simulator.library import LIBRARY

pytestmark = pytest.mark.slow  # it compiles the driver and what packs for it

ROOT = Path(__file__).parents[3]
MAIN = Path(__file__).parent / "npu_gemm_main.cc"
SOURCES = [
    *sorted((ROOT / "xla_ffi/base").glob("*.cc")),
    ROOT / "xla_ffi/driver/driver.cc",
    *sorted((ROOT / "xla_ffi/npu").rglob("*.cc")),
    *sorted((ROOT / "xla_ffi/trace").glob("*.cc")),
]
HEADERS = {"xla_ffi/driver/session.h": ROOT / "xla_ffi/driver/driver.cc"}  # and users
SIZES = (70, 90, 300)  # m, k, n: two runs' worth of padding in each dimension
SYNC = re.compile(
    r"\b([\w\[\]]+(\(\))?(\.\w+(\(\))?)?(\.|->))?"
    r"(sync|SyncToDevice|SyncFromDevice)\([^;{]*\);"
)
SENTINEL = re.compile(r"c->SyncToDevice|SyncToDevice\(c,")
# A run fails once and is tried again in a new context.
FAULTS = ("", "timeout@1")


COMPILE = ["g++", "-std=c++17", "-O0", "-I", ROOT]
# Flags of the host's products and packing, which are not under test here.
FLAGS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"],
}
FLAGS["avx512bf16"] = [*FLAGS["avx512"], "-mavx512bf16"]
FLAGS["amx"] = [*FLAGS["avx512bf16"], "-mamx-tile", "-mamx-bf16"]


@pytest.fixture(scope="session")
def packing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packing")
    for source in (ROOT / "xla_ffi/host").rglob("*.cc"):
        flags, out = FLAGS.get(source.stem, []), folder / f"{source.stem}.o"
        subprocess.run([*COMPILE, *flags, "-c", source, "-o", out], check=True)
    return sorted(folder.iterdir())


def is_right(done, faults=""):
    """Whether all products are right, and only a fault made a run repeat."""
    if done.returncode:
        return False
    right, events = done.stdout.splitlines()
    assert right == "right"
    counts = json.loads(events)
    assert counts["self_tests"] > 0
    return (counts["retries"], counts["mismatches"]) == (1 if faults else 0, 0)


def compile_source(source, out, before=()):
    """Compiles a source; headers in the folders `before` come before ours."""
    folders = [*before, ROOT, ROOT / "aie" / "sim" / "xrt"]
    includes = [flag for folder in folders for flag in ("-I", folder)]
    subprocess.run([*COMPILE[:-2], *includes, "-c", source, "-o", out], check=True)
    return out


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    """The compiled sources, by source."""
    folder = tmp_path_factory.mktemp("objects")
    return {
        source: compile_source(source, folder / f"{source.stem}.o")
        for source in [MAIN, *SOURCES]
    }


def link(folder, objects, packing):
    library, out = library_path(LIBRARY), folder / "main"
    command = ["g++", *objects.values(), *packing, "-o", out, library]
    command += [f"-Wl,-rpath,{library.parent}", "-pthread"]
    subprocess.run(command, check=True)
    return out


def as_numbers(plan):
    """The plan's nine numbers, its number of runs, their numbers, and all words."""
    names = "run_starts", "run_grids", "run_num_words", "words"
    starts, grids, counts, words = (plan[name].val for name in names)
    head = "block_m", "block_n", "padded_k", "m_multiple", "n_multiple"
    head += "image_tile", "a_k_is_rows", "b_k_is_rows", "swapped"
    runs = np.column_stack([starts, grids, counts])
    return [*(int(plan[name]) for name in head), len(runs), *runs.flat, *words]


@pytest.fixture(scope="session")
def plan_file(tmp_path_factory):
    plans = product_plan("npu1", 1, *SIZES), self_test_plan("npu1")
    numbers = [*SIZES, *itertools.chain.from_iterable(map(as_numbers, plans))]
    path = tmp_path_factory.mktemp("plan") / "plan"
    path.write_text(" ".join(map(str, numbers)))
    return path


def run(program, plan_file, checks="on", faults="", threads=1, repeats=2):
    command = [program, simulated_design("npu1"), plan_file, str(threads), str(repeats)]
    return subprocess.run(
        command,
        env={
            **os.environ,
            "JAX_NPU_SIM_CHECKS": checks,
            "JAX_NPU_SIM_FAULTS": faults,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="session")
def program(tmp_path_factory, objects, packing):
    return link(tmp_path_factory.mktemp("driver"), objects, packing)


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("checks", ["on", "off"])
def test_the_driver_as_it_is_gives_right_products(program, plan_file, checks, faults):
    done = run(program, plan_file, checks, faults)
    assert is_right(done, faults), done.stdout + done.stderr


def test_threads_may_multiply_at_the_same_time(program, plan_file):
    done = run(program, plan_file, threads=8, repeats=5)
    assert is_right(done), done.stdout + done.stderr


def syncs():
    """(source, its text with one sync left out, the sync) for each sync."""
    for source in [*map(ROOT.joinpath, HEADERS), *SOURCES]:
        text = source.read_text()
        for found in SYNC.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            mutant = text[: found.start()] + text[found.end() :]
            id = f"{source.name}:{line}"
            yield pytest.param(source, mutant, found.group(), id=id)


def test_every_sync_is_found():
    """The driver has four and the code above it seven.

    The driver syncs a stream, a buffer in both directions, and a new context's buffer.
    A GEMM and the self-test sync the operands, the sentinel and the result.
    """
    assert [Path(p.id.split(":")[0]).stem for p in syncs()] == [
        *["session"],
        *["driver"] * 3,
        *["gemm"] * 2,
        *["images"],
        *["self_test"] * 4,
    ]


@pytest.mark.parametrize(("source", "mutant", "removed"), list(syncs()))
def test_a_product_without_one_sync_is_wrong(
    tmp_path, plan_file, objects, packing, source, mutant, removed
):
    path = tmp_path / source.relative_to(ROOT)
    path.parent.mkdir(parents=True)
    path.write_text(mutant)
    user = HEADERS.get(source.relative_to(ROOT).as_posix())
    compiled = compile_source(user or path, tmp_path / "mutant.o", [tmp_path])
    spoiled = {user or source: compiled}
    program = link(tmp_path, objects | spoiled, packing)
    for checks in ("on", "off"):
        if checks == "off" and SENTINEL.match(removed):
            # Errors that the sentinel finds are found by the other check as well.
            continue
        assert not all(
            is_right(run(program, plan_file, checks, faults), faults)
            for faults in FAULTS
        ), f"checks {checks}"
