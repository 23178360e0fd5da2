"""The driver: the only file that includes XRT, and its errors."""

import ctypes
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import jax_npu
from jax_npu.jax_private import hashable
from jax_npu.lowering import plans
from jax_npu.runtime import designs, extension, npu_finder
from jax_npu.runtime.npu_finder import FoundNpu
from jax_npu.runtime.target import DRIVERS
from xdna.gemm.tiling import make_plan

from ..npu_call import TARGET, multiply

ROOT = Path(__file__).parents[3]
DRIVER = ROOT / "xla_ffi" / "driver" / "driver.cc"

needs_sim = pytest.mark.skipif(
    not jax_npu.backends()["sim"].available, reason="sim cannot run here"
)


def test_three_files_of_the_driver_alone_include_xrt():
    folders = ("aie", "gpt2_flax", "jax_npu", "xla_ffi")
    sources = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".cc", ".h", ".hpp", ".inc"}
    ]
    virtual = ROOT / "aie" / "sim" / "xrt"
    assert {
        path
        for path in sources
        if virtual not in path.parents
        and re.search(r"#\s*include\s*[<\"](xrt|experimental)/", path.read_text())
    } == {
        DRIVER.with_name(name) for name in ("driver.cc", "pinned_buffer.h", "session.h")
    }


@pytest.mark.parametrize("standard", ["c++17", "c++20"])
def test_driver_cc_compiles_against_the_real_xrt(xrt_headers, standard):
    command = ["g++", f"-std={standard}", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(
        [*command, "-isystem", xrt_headers, "-I", ROOT, "-fsyntax-only", DRIVER],
        check=True,
    )


@pytest.fixture(scope="session")
def run_on_real_xrt(xrt_tree, run_python):
    """Runs a Python program with the libraries of that tree; no NPU is there."""
    if any(Path("/dev/accel").glob("accel*")):
        pytest.skip("there may be an NPU here")
    libraries = xrt_tree / "usr" / "lib" / "x86_64-linux-gnu"
    loader = [libraries / "ld-linux-x86-64.so.2", "--library-path", libraries]

    def run(program, **environment):
        return run_python(program, *loader, **environment)

    return run


def test_on_the_real_xrt_without_an_npu_the_backend_says_what_is_missing(
    run_on_real_xrt,
):
    done = run_on_real_xrt(
        """
import jax, jax_npu
for f in (
    lambda: jax_npu.matmul([[1.0]], [[1.0]], backend="npu"),
    lambda: jax_npu.backend("npu"),
):
    try:
        f()
    except ValueError as error:
        print(error)
"""
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line in lines:
        assert "backend 'npu' cannot run here: No such device with index '0'" in line
        assert "amdxdna" in line
        assert "'jax-npu doctor'" in line


def test_on_the_real_xrt_without_an_npu_auto_goes_to_host_and_says_so(run_on_real_xrt):
    done = run_on_real_xrt(
        """
import numpy as np, jax_npu
x = np.random.default_rng(0).integers(-4, 5, (33, 65)).astype(np.float32)
np.testing.assert_array_equal(jax_npu.matmul(x, x.T), x @ x.T)
"""
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("jax-npu: backend auto is host (CPU, instruction set ")
    assert "npu: No such device with index '0'; the NPU needs Linux 6.14" in line


def test_without_xrt_the_driver_does_not_load_and_everything_else_works(xrt_tree):
    """A wheel that was built against XRT, on a machine without it."""
    assert extension.library_path(DRIVERS["npu"]).exists()
    entry = jax_npu.backends()["npu"]
    if entry.detail.startswith("XRT does not load"):
        assert "libxrt_coreutil.so.2: cannot open shared object file" in entry.detail
    assert not entry.available
    assert jax_npu.backends()["host"].available


def test_an_install_that_was_built_without_xrt_says_so(tmp_path, run_python):
    for name in (extension.LIBRARY, DRIVERS["sim"], "libaie_kernels.so"):
        (tmp_path / name).symlink_to(extension.library_path(name))
    done = run_python(
        "import jax_npu; print(jax_npu.backends()['npu'].detail)",
        JAX_NPU_LIBRARY_DIR=str(tmp_path),
    )
    assert done.stdout.startswith("this jax-npu was built without XRT; install XRT")


def self_test(**changes):
    return plans.self_test_plan("npu1") | changes


def plan(**changes):
    return plans.product_plan("npu1", 1, 4, 4, 4) | changes


def tiles(make, **changes):
    return make(image_tile=np.int64(16), **changes)


NO_WORDS = hashable(np.zeros(3, np.uint32))
NO_RUNS = hashable(np.zeros(0, np.int64))


def int64s(*numbers):
    return hashable(np.array(numbers, np.int64))


def two_run_self_test():
    names = "run_starts", "run_grids", "run_num_words", "words"
    one_run = {name: self_test()[name].val for name in names}
    return self_test(
        **{name: hashable(np.concatenate([x, x])) for name, x in one_run.items()}
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "npu3"}, "is for device 'npu3', and this version .* npu1, npu2"),
        ({"device": "/tmp/x.cfg"}, "is for device '/tmp/x.cfg', and this version"),
        (
            {"design_key": "0123"},
            "made for the design 0123 of npu1, and this process runs .* make it again",
        ),
        ({"plan": plan(run_num_words=NO_RUNS)}, "a plan needs runs"),
        ({"plan": plan(run_grids=NO_RUNS)}, "three numbers of run_starts"),
        ({"plan": plan(words=NO_WORDS)}, "not as many as planned"),
        (
            {"plan": plan(run_num_words=int64s(0, 684))},
            "three numbers of run_starts",
        ),
        ({"plan": plan(run_num_words=int64s(-1))}, "not as many as planned"),
        ({"plan": plan(block_m=np.int64(0))}, "the plan has blocks of 0 x "),
        (
            {"plan": plan(block_n=np.int64(1 << 40))},
            "has blocks of 256 x 1099511627776",
        ),
        ({"plan": plan(padded_k=np.int64(3))}, "the plan pads k = 4 to 3"),
        ({"plan": plan(image_tile=np.int64(32))}, "image_tile must be 0 or 16, got 32"),
        (
            {"plan": tiles(plan, block_n=np.int64(120))},
            "has blocks of 256 x 120 and k = 128, which are not tiles of 16",
        ),
        (
            {"plan": tiles(plan, block_m=np.int64(264))},
            "has blocks of 264 x .*, which are not tiles of 16",
        ),
        (
            {"plan": tiles(plan, m_multiple=np.int64(40))},
            "rounds m and n up to multiples of 40 and 128, which are not tiles of 16",
        ),
        (
            {"plan": plan(n_multiple=np.int64(0))},
            "rounds m and n up to multiples of 128 and 0;",
        ),
        (
            {"plan": tiles(plan, padded_k=np.int64(72))},
            "and k = 72, which are not tiles of 16",
        ),
        (
            {
                "check": "first",
                "self_test": tiles(self_test, padded_k=np.int64(72)),
            },
            "and k = 72, which are not tiles of 16",
        ),
        ({"plan": plan(padded_k=np.int64(1 << 40))}, "pads k = 4 to 1099511627776"),
        (
            {"plan": plan(run_grids=int64s(1, 2, 1))},
            r"has a run of \(1, 2, 1\) blocks from \(0, 0, 0\) on, of \(1, 1, 1\)",
        ),
        ({"plan": plan(run_starts=int64s(0, 0, -1))}, r"from \(0, 0, -1\) on"),
        (
            {"plan": plan(block_m=np.int64(2), image_tile=np.int64(0))},
            "computes 1 of 2 blocks; the program was not made for these arrays",
        ),
        (
            {"check": "first", "self_test": self_test(padded_k=np.int64(1 << 20))},
            "a self-test has sizes from 1 to 2048, got 1048576",
        ),
        ({"check": "perhaps"}, "check must be off, first, sample or always"),
        ({"arithmetic": "int8"}, "arithmetic must be f32 or bfp16, got int8"),
        (
            {"check": "first", "self_test": self_test(words=NO_WORDS)},
            "not as many as planned",
        ),
        (
            {"check": "first", "self_test": two_run_self_test()},
            "a self-test is one run with a batch of two",
        ),
    ],
)
def test_bad_attributes_are_errors_in_one_line(changes, message):
    with pytest.raises(Exception, match=f"{TARGET}: .*{message}"):
        multiply(**changes)


@pytest.mark.parametrize(
    ("library", "message"),
    [
        ("/nowhere/libnpu.so", "the driver does not load: /nowhere/libnpu"),
        ("libc.so.6", "no driver library: .*jax_npu_open_driver"),
    ],
)
def test_a_library_that_is_no_driver_is_an_error(monkeypatch, library, message):
    found = FoundNpu(Path(library), Path(), "key")
    monkeypatch.setattr(npu_finder, "find_npu", lambda backend, device: found)
    with pytest.raises(Exception, match=f"{TARGET}: .*{message}"):
        multiply(device=library, design_key="key")


def test_an_error_of_the_search_is_that_of_the_call_and_not_remembered(monkeypatch):
    reasons = iter(["no room", ""])

    def find(backend, device):
        raise KeyError(next(reasons))

    monkeypatch.setattr(npu_finder, "find_npu", find)
    for message in ("'no room'", "''"):
        with pytest.raises(Exception, match=f"{TARGET}: {message}"):
            multiply(device="nowhere")


@needs_sim
def test_threads_that_ask_at_the_same_time_get_one_answer(run_python):
    """Python's lock and the extension's are never taken in both orders."""
    done = run_python(
        """
import threading, time
import jax, jax_npu, numpy as np
from jax_npu.runtime import npu_finder
find = npu_finder.find_npu
def slow(*arguments):
    time.sleep(0.2)
    return find(*arguments)
npu_finder.find_npu = slow
x = np.ones((4, 4), np.float32)
with jax_npu.backend("sim"):
    multiply = jax.jit(jax_npu.matmul).lower(x, x).compile()
def work():
    np.testing.assert_array_equal(multiply(x, x), x @ x)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    )
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr


@needs_sim
def test_a_second_design_in_a_process_is_refused():
    multiply()
    with pytest.raises(
        Exception, match=r"cannot load .*npu2-\w+.cfg too; use one device"
    ):
        multiply(device="npu2", design_key=designs.design_key("sim", "npu2"))
    np.testing.assert_array_equal(multiply(), np.full((4, 4), 4))


@needs_sim
def test_a_run_that_hangs_is_an_error_and_the_next_one_works():
    words = plan()["words"].val.copy()
    words[-1] ^= 1 << 24  # waits for the tokens of another channel
    hanging = plan(words=hashable(words))
    for _ in range(3):
        with pytest.raises(
            Exception, match=rf"{TARGET}: the run failed: .*shim \(\d, 0\)"
        ):
            multiply(plan=hanging)
        np.testing.assert_array_equal(multiply(), np.full((4, 4), 4))


PRODUCT = """
import ctypes, jax.numpy as jnp, numpy as np, jax_npu
from jax_npu.runtime import extension
from jax_npu.runtime.target import DRIVERS
library = ctypes.CDLL(str(extension.library_path(DRIVERS["sim"])))
library.jax_npu_sim_report.restype = ctypes.c_char_p
x = np.random.default_rng(0).integers(-4, 5, (65, 65)).astype(np.float32)
def product():
    np.testing.assert_array_equal(jax_npu.matmul(x, x, backend="sim"), x @ x)
"""


@needs_sim
@pytest.mark.parametrize(
    ("device", "machine", "arithmetic"),
    [
        ("npu1", "7940hs", "exact"),
        ("npu1", "7940hs", "fast"),
        ("npu2", "krackan-350", "exact"),
        ("npu2", "krackan-350", "bfp16"),
    ],
)
def test_device_and_arithmetic_are_those_of_the_environment(
    device, machine, arithmetic, run_python
):
    program = f"""{PRODUCT}
entry = jax_npu.backends()["sim"]
detail = "virtual {device} of {machine}, {arithmetic} arithmetic"
assert entry.detail == detail, entry
product()
print(library.jax_npu_sim_report().decode())
"""
    done = run_python(program, JAX_NPU_DEVICE=device, JAX_NPU_SIM_ARITHMETIC=arithmetic)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["device"], report["arithmetic"]) == (device, arithmetic)
    assert report["runs"] == 2  # one of them the self-test


@needs_sim
def test_the_machine_of_the_environment_has_its_npu_and_its_times(run_python, tmp_path):
    path = tmp_path / "slow.toml"
    path.write_text('base = "hx370"\nclock_hz = 1.2e9\n')
    report = "print(library.jax_npu_sim_report().decode())"
    for name, device, clock in (
        ("8700g", "npu1", 1.8e9),
        ("hx370", "npu2", 1.8e9),
        (str(path), "npu2", 1.2e9),
    ):
        program = f"{PRODUCT}\nproduct()\n{report}"
        done = run_python(program, JAX_NPU_MACHINE=name)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["device"], found["clock_hz"]) == (device, clock)


@needs_sim
def test_another_machine_after_the_first_run_is_an_error(run_python):
    program = f"""{PRODUCT}
import os
product()
os.environ["JAX_NPU_MACHINE"] = "8700g"
try:
    product()
except Exception as error:
    assert "with the JAX_NPU_MACHINE of this process's first run" in str(error), error
else:
    raise AssertionError("the machine changed unnoticed")
os.environ["JAX_NPU_MACHINE"] = "7940hs"
product()
"""
    done = run_python(program)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"JAX_NPU_DEVICE": "npu3"}, "JAX_NPU_DEVICE must be one of npu1, npu2, got"),
        ({"JAX_NPU_MACHINE": "z1"}, "machine must be one of 7940hs, 8700g,"),
        (
            {"JAX_NPU_MACHINE": "hx370", "JAX_NPU_DEVICE": "npu1"},
            "JAX_NPU_DEVICE is npu1, and JAX_NPU_MACHINE has npu2; correct or unset",
        ),
        (
            {"JAX_NPU_SIM_ARITHMETIC": "bfp16"},
            "JAX_NPU_SIM_ARITHMETIC must be one of exact, fast, got 'bfp16'",
        ),
    ],
)
def test_a_device_or_arithmetic_that_is_not_there_makes_sim_unavailable(
    monkeypatch, environment, message
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    entry = jax_npu.backends()["sim"]
    assert not entry.available
    assert message in entry.detail


@needs_sim
def test_the_report_is_of_the_process_and_can_be_cleared():
    library = ctypes.CDLL(str(extension.library_path(DRIVERS["sim"])))
    library.jax_npu_sim_report.restype = ctypes.c_char_p
    library.jax_npu_sim_clear_report()
    assert json.loads(library.jax_npu_sim_report())["runs"] == 0
    macs = make_plan(designs.gemm_array("npu1"), 1, 4, 4, 4).padded.macs
    for count in (1, 2):
        multiply()
        report = json.loads(library.jax_npu_sim_report())
        assert (report["runs"], report["macs"]) == (count, count * macs)


@needs_sim
def test_a_trace_is_written_at_the_end_of_the_process(tmp_path, run_python):
    trace = tmp_path / "trace.json"
    done = run_python(f"{PRODUCT}\nproduct()", JAX_NPU_SIM_TRACE=str(trace))
    assert done.returncode == 0, done.stderr
    assert "core (0, 2)" in json.dumps(json.loads(trace.read_text()))


@needs_sim
def test_a_trace_that_cannot_be_written_says_so(tmp_path, run_python):
    path = tmp_path / "missing" / "trace.json"
    done = run_python(f"{PRODUCT}\nproduct()", JAX_NPU_SIM_TRACE=str(path))
    assert f"the trace cannot be written to {path}" in done.stderr


@needs_sim
def test_a_device_without_a_context_left_is_an_error(run_python):
    done = run_python(
        f"{PRODUCT}\nlibrary.jax_npu_sim_set_other_contexts(6)\nproduct()"
    )
    assert "no context on the NPU: all 6 contexts of npu1 are taken" in done.stderr


@needs_sim
def test_the_design_is_kept_in_the_users_cache(tmp_path, run_python):
    for _ in range(2):
        done = run_python(f"{PRODUCT}\nproduct()", XDG_CACHE_HOME=str(tmp_path))
        assert done.returncode == 0, done.stderr
        (design,) = (tmp_path / "jax-npu").glob("*.cfg")
        assert design.read_text().startswith("jax-npu-configuration 1\ndevice npu1\n")
        design.write_text("damaged")  # the next run writes it again


@needs_sim
def test_a_cache_that_cannot_be_written_is_an_error(tmp_path, run_python):
    (tmp_path / "jax-npu").write_text("in the way")
    done = run_python(f"{PRODUCT}\nproduct()", XDG_CACHE_HOME=str(tmp_path))
    assert "set XDG_CACHE_HOME to a folder that can be written" in done.stderr
