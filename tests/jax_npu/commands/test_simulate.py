"""`jax-npu simulate` runs any design and our GEMMs, and prints the cost."""

import json
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from jax_npu.commands.command_line import main
from jax_npu.commands.simulation.simulation_report import stalls
from xdna.gemm.array import GemmArray
from xdna.gemm.tiling import make_plan
from xdna.simulator import Report, Usage
from xdna.simulator.gemm import largest_error, random_operands, result, submissions
from xdna.simulator.page import run_of_page

BF16 = ml_dtypes.bfloat16
DATA = Path(__file__).parents[2] / "aie/xdna/data"

KERNELS = """
import ml_dtypes
import numpy as np
from xdna.simulator import Kernel


def scale(x, y):
    y[...] = (2 * x.astype(np.float32)).astype(y.dtype)


BF16 = ml_dtypes.bfloat16
KERNELS = [Kernel("scale_bf16", scale, "rw", [BF16, BF16], cycles=100)]
"""


@pytest.fixture
def x(rng):
    return rng.standard_normal((32, 16)).astype(BF16)


@pytest.fixture
def sample(tmp_path, monkeypatch, x):
    """Writes the sample's design, words, kernels and x.npy; returns the command."""
    monkeypatch.chdir(tmp_path)
    text = (DATA / "sample.lowered.generic.mlir").read_text()
    Path("design.mlir").write_text(text)
    words = (DATA / "sample.insts.hex").read_text().split()
    np.array([int(word, 16) for word in words], "<u4").tofile("insts.bin")
    Path("kernels.py").write_text(KERNELS)
    np.save("x.npy", x)
    return ["simulate", "design.mlir", "insts.bin", "--kernels", "kernels.py"]


IN, OUT = ["--in", "x.npy"], ["--out", "y.npy:bfloat16:4x128"]


def expected(x):
    """The sample's output: four tiles of x, each in halves of columns, doubled."""
    tiles = x.reshape(2, 16, 2, 8).swapaxes(1, 2).reshape(4, 16, 2, 4).swapaxes(1, 2)
    return (2 * tiles.astype(np.float32)).reshape(4, 128)


@pytest.mark.parametrize("suffix", ["", ":bfloat16"])
def test_a_foreign_design_runs_with_kernels_of_its_own(sample, x, suffix, capsys):
    assert main([*sample, "--in", f"x.npy{suffix}", *OUT]) == 0
    y = np.load("y.npy").view(BF16)
    np.testing.assert_array_equal(y.astype(np.float32), expected(x))
    out = capsys.readouterr().out
    for text in ("npu1_1col", "host submits", "busiest", "core waits"):
        assert text in out


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
def test_floats_are_rounded_to_the_dtype_asked_for(sample, x, dtype):
    np.save("x32.npy", np.asfortranarray(x.astype(dtype)))
    assert main([*sample, "--in", "x32.npy:bfloat16", *OUT]) == 0
    y = np.load("y.npy").view(BF16)
    np.testing.assert_array_equal(y.astype(np.float32), expected(x))


def test_buffers_are_arguments_in_the_order_given(sample, x):
    np.save("zeros.npy", np.zeros((4, 128), BF16))
    assert main([*sample, "--out", "y.npy:bfloat16:32x16", "--in", "zeros.npy"]) == 0
    assert not np.load("y.npy").view(np.uint16).any()  # x was the output


def test_a_report_in_json_has_the_table_and_the_counters(sample, capsys):
    assert main([*sample, *IN, *OUT, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["device"] == "npu1_1col"
    assert record["kernel_calls"] == 4
    assert record["bytes"]["ddr_read"] == record["bytes"]["ddr_write"] == 1024
    seconds = record["submission_seconds"] + record["device_seconds"]
    assert record["seconds"] == pytest.approx(seconds)
    assert 0 < record["core_utilisation"]["mean"] <= record["core_utilisation"]["max"]
    assert record["busiest"] in record["usage"]
    assert 0 < record["stalls"]["core"]["go"] < 1


def test_a_trace_is_in_chromes_format(sample):
    assert main([*sample, *IN, *OUT, "--trace", "t.json"]) == 0
    assert_is_chrome_trace(Path("t.json"))


def assert_is_chrome_trace(path):
    """Checks the Trace Event Format: named tracks, complete events in microseconds."""
    events = json.loads(path.read_text())["traceEvents"]
    tracks = {e["tid"] for e in events if e["name"] == "thread_name"}
    complete = [e for e in events if e["ph"] == "X"]
    assert complete
    assert {e["ph"] for e in events} >= {"M", "X", "C"}
    for event in events:
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
    arrows = [[e["id"] for e in events if e["ph"] == phase] for phase in "sf"]
    assert arrows[0] == arrows[1] == sorted(set(arrows[0]))
    for event in complete:
        assert event["tid"] in tracks
        assert event["ts"] >= 0
        assert event["dur"] > 0


def test_names_may_hold_what_json_escapes(sample, capsys):
    path = Path("design.mlir")
    path.write_text(
        path.read_text().replace('sym_name = "go"', r'sym_name = "g\22\5Co"')
    )
    assert main([*sample, *IN, *OUT, "--json", "--trace", "t.json"]) == 0
    assert "g'/o" in json.loads(capsys.readouterr().out)["stalls"]["core"]
    assert_is_chrome_trace(Path("t.json"))


def test_a_trap_is_one_line_and_exit_code_1_and_leaves_its_trace(sample, capsys):
    small = ["--out", "y.npy:bfloat16:4x12", "--trace", "t.json"]
    assert main([*sample, *IN, *small]) == 1
    err = capsys.readouterr().err
    assert err.startswith("jax-npu: shim (0, 0) S2MM 0 BD 0 reaches")
    assert err.count("\n") == 1
    assert not Path("y.npy").exists()
    assert_is_chrome_trace(Path("t.json"))


def test_a_trap_leaves_its_page_and_the_arrays_state(sample, capsys):
    Path("kernels.py").write_text(
        KERNELS.replace("    y[...]", "    y[999] = 1; y[...]")
    )
    files = ["--report", "run.html", "--dump", "state", "--trace", "t.json"]
    assert main([*sample, *IN, *OUT, *files]) == 1
    err = capsys.readouterr().err
    assert "core (0, 2) calls scale_bf16: IndexError: index 999 is out" in err
    assert "(kernels.py, line 8: y[999] = 1; y[...] = (2 * x" in err
    assert err.count("\n") == 1
    record = run_of_page(Path("run.html"))
    assert record["notes"]["ended early"] in err
    assert record["cycles"] > 0
    state = json.loads(Path("state/state.json").read_text())
    assert {"name": "go", "column": 0, "row": 2}.items() <= state["locks"][-1].items()
    for buffer in state["buffers"]:
        tile = f"{buffer['column']}.{buffer['row']}"
        array = np.load(f"state/{buffer['name']}.{tile}.npy")
        assert array.nbytes == buffer["bytes"]
    np.testing.assert_array_equal(np.load("state/argument_0.npy"), np.load("x.npy"))


def test_a_stopped_run_writes_no_output_and_two_runs_stand_side_by_side(sample, capsys):
    command = [*sample, *IN, *OUT]
    assert main([*command, "--report", "a.html"]) == 0
    cycles = run_of_page(Path("a.html"))["cycles"]
    Path("y.npy").unlink()
    stop = ["--until", str(cycles // 2), "--report", "b.html", "--against", "a.html"]
    assert main([*command, *stop]) == 0
    assert f"stopped after cycle {cycles // 2}, at word" in capsys.readouterr().err
    assert not Path("y.npy").exists()
    assert Path("b.html").read_text().count('"format":1') == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--in", "nothing.npy"], "nothing.npy"),
        (["--in", "insts.bin"], "insts.bin is not an array as numpy.save writes it"),
        (["--in", "x.npy:complex64"], "a dtype must be"),
        (["--in", "text.npy"], "text.npy holds <U2"),
        (["--in", "ints.npy:bfloat16"], "ints.npy holds int32"),
        (["--out", "y.npy"], "must be FILE:DTYPE:SIZES"),
        (["--out", "y.npy:float32:4by4"], "must be FILE:DTYPE:SIZES"),
        (["--out", "y.npy:float32:99999x99999"], "4 GB or more"),
        (["--out", "y.npy:words:4"], "a dtype must be"),
        (["--device", "npu2", *IN], "is for npu1_1col, not for npu2"),
        (["--machine", "hx370"], "machine hx370 has an npu2, and times of an npu1"),
        (["--kernels", "none.py"], "none.py is not a Python file"),
        (["--kernels", "empty.py"], "empty.py must define KERNELS"),
        (["--kernels", "none.cc"], "there is no none.cc; check the path"),
        (
            ["--kernels", "raises.py"],
            "raises.py does not load: ZeroDivisionError: division by zero (raises.py, "
            "line 2: x = 1 / 0)",
        ),
        (["--kernels", "syntax.py"], "syntax.py does not load: SyntaxError: "),
        (["--kernel", "scale_bf16=1"], "need --kernels with a file in C++"),
        (["--kernels", "empty.cc", "--kernel", "s=x"], "must be NAME=CYCLES or NAME="),
        (["--until", "-1"], "--until must be a cycle from 0 on, got -1"),
        (["--against", "x.html"], "--against needs --report"),
        (["--report", "r.html", "--against", "x.npy"], "x.npy is not a page that"),
        (["--report", "/nowhere/r.html"], "there is no folder /nowhere"),
        (["--arithmetic", "bfp16"], "arithmetic bfp16 is npu2's"),
        (["--check"], "check belongs to a GEMM"),
        (["--batch", "2"], "batch belongs to a GEMM"),
        ([*IN, "--trace", "/nowhere/t.json"], "/nowhere/t.json cannot be written"),
    ],
)
def test_bad_input_is_one_line(sample, more, message, capsys):
    Path("empty.py").touch()
    Path("empty.cc").touch()
    Path("raises.py").write_text("\nx = 1 / 0\n")
    Path("syntax.py").write_text("x = = 1\n")
    np.save("ints.npy", np.zeros(4, np.int32))
    np.save("text.npy", np.array(["ab"]))
    assert main([*sample, *more]) in (1, 2)
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_kernel_that_nobody_gives_is_named(sample, capsys):
    assert main([*sample[:3], *IN, *OUT]) == 2
    err = capsys.readouterr().err
    assert "scale_bf16, a kernel that is not registered; give it with --kernels" in err


def test_words_may_be_the_text_of_older_releases(sample, x):
    Path("insts.txt").write_text((DATA / "sample.insts.hex").read_text())
    sample[2] = "insts.txt"
    assert main([*sample, *IN, *OUT]) == 0
    assert np.array_equal(np.load("y.npy").view(BF16), expected(x))


def test_a_deadlock_names_the_flags_that_show_it_unless_they_are_given(sample, capsys):
    design = Path("design.mlir")
    text = re.sub(r'"aie.flow".*\n', "", design.read_text(), count=1)
    design.write_text(text)
    assert main([*sample, *IN, *OUT]) == 1
    assert "; --report run.html shows" in capsys.readouterr().err
    assert main([*sample, *IN, *OUT, "--dump", "dump"]) == 1
    assert "deadlock" in (err := capsys.readouterr().err)
    assert "--report" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "aiecc writes the words with --aie-generate-npu-insts (1.3)"),
        (["design.mlir"], "needs a design and its words, or --gemm"),
        (["--gemm", "8", "8", "8", "--in", "x.npy"], "buffers belongs to a design"),
        (["--gemm", "8", "8", "8", "--repeat", "-1"], "must be at least 1"),
        (["--gemm", "8", "0", "8"], "at least 1, got k = 0"),
        (["--gemm", "8", "8", "8", "--device", "npu3"], "device must be one of"),
    ],
)
def test_what_cannot_be_simulated_is_an_error(arguments, message, capsys):
    assert main(["simulate", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        ["--device", "npu1"],
        ["--device", "npu1", "--arithmetic", "fast", "--c-type", "bfloat16"],
        ["--device", "npu2", "--b-col-major", "--batch", "2"],
        ["--device", "npu2", "--arithmetic", "bfp16"],
        ["--device", "npu2", "--arithmetic", "bfp16_floor", "--out-dtype", "bfloat16"],
    ],
)
def test_a_gemm_is_checked_against_numpy(more, capsys):
    command = ["simulate", "--gemm", "70", "100", "200", "--tile", "32", "32", "32"]
    assert main([*command, *more, "--check", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["check"]["largest_error"] <= record["check"]["bound"]
    assert record["macs"] >= 70 * 100 * 200
    assert record["flops_per_second"] == pytest.approx(
        2 * record["macs"] / record["seconds"]
    )


def test_a_gemm_prints_the_simulators_speed(capsys):
    assert main(["simulate", "--gemm", "64", "64", "64", "--repeat", "2"]) == 0
    out = capsys.readouterr().out
    assert "the simulator took" in out
    assert "times as long as the NPU" in out


def test_operands_of_many_runs_come_together(monkeypatch):
    """The host takes the array's place here, and multiplies the images of each run."""
    monkeypatch.setattr("xdna.gemm.runs.MAX_IMAGE_BYTES", 1 << 14)
    make_plan.cache_clear()
    try:
        plan = make_plan(GemmArray("npu1", 16, 16, 16), 3, 100, 40, 150)
    finally:
        make_plan.cache_clear()
    assert len(plan.runs) > 4
    a, b = random_operands(plan)
    runs = list(submissions(plan, a, b))
    for run in runs:
        a_image, b_image, c_image = run.buffers
        c_image[...] = a_image.astype(np.float32) @ b_image.astype(np.float32)
    error, bound = largest_error(a, b, result(plan, runs), "fast")
    assert error <= bound


def test_a_wrong_product_is_seen():
    plan = make_plan(GemmArray("npu1"), 1, 64, 64, 64)
    a, b = random_operands(plan)
    c = a.astype(np.float32) @ b.astype(np.float32)
    for wrong in c[0, 0, 0] + 0.1, np.nan:
        c[0, 0, 0] = wrong
        error, bound = largest_error(a, b, c, "exact")
        assert not error <= bound


def test_stalls_are_shares_of_a_kinds_time_by_cause():
    usage = {
        "core (0, 2)": Usage(40, 0, 0, {"a_0_1_full": 60}),
        "core (1, 2)": Usage(80, 0, 0, {"a_1_1_full": 10, "go": 10}),
        "memtile (0, 1) S2MM 3": Usage(0, 0, 0, {"stream": 100}),
        "DDR": Usage(5, 0, 0),
    }
    report = Report("npu1", "exact", 1e9, 1, 100, 0, 0.0, 1e-7, 0, 0, 0, {}, usage)
    assert stalls(report) == {
        "core": {"a_full": 0.35, "go": 0.05},
        "memtile S2MM": {"stream": 1.0},
    }
