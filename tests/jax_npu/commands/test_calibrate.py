"""`jax-npu calibrate`: simulated times stay close to measured ones."""

import json
from pathlib import Path

import pytest

from jax_npu.commands.command_line import main
from xdna.gemm.array import GemmArray
from xdna.gemm.programs.kernel_calls import kernel_calls
from xdna.machines import MACHINES
from xdna.simulator import VirtualNpu
from xdna.simulator.calibration import (
    Measurement,
    compare,
    mean_absolute_error,
    measurements,
)
from xdna.simulator.timed_run import TimedArray
from xdna.timing import timing

README = Path(__file__).parents[3] / "aie/sim/README.md"

# Errors that the model promises; it has five fitted numbers for the thirteen rows.
LARGEST_ERROR = 0.15
MEAN_ERROR = 0.08


@pytest.fixture(scope="module")
def comparisons():
    return [compare(one) for one in measurements()]


def test_every_row_is_close(comparisons):
    errors = [one.error for one in comparisons]
    assert len(errors) == 13
    assert max(map(abs, errors)) <= LARGEST_ERROR
    assert mean_absolute_error(comparisons) <= MEAN_ERROR


def test_the_readme_has_what_the_command_prints(comparisons):
    text = README.read_text()
    for one in comparisons:
        row = f"{one.measurement.microseconds:,.0f} | {one.microseconds:,.0f} | "
        assert f"{row}{one.error:+.1%} |" in text
    assert f"mean absolute error is {mean_absolute_error(comparisons):.1%}" in text


def row(design, device="npu1", sizes=(256, 256, 256), tile=(32, 32, 32)):
    return Measurement(device, design, *sizes, tile, "float32", 1.0)


def test_a_design_that_nobody_has_expressed_has_a_reason():
    comparison = compare(row("systolic 9x9"))
    assert comparison.microseconds is None
    assert "whole_array" in comparison.reason


def test_kernels_that_take_no_time_leave_the_dma():
    whole, no_compute = (
        compare(row(name)) for name in ("whole_array", "whole_array compute removed")
    )
    assert no_compute.microseconds < whole.microseconds


def test_a_row_can_be_put_on_another_machine():
    here, there = (
        compare(row("whole_array"), machine).microseconds
        for machine in (None, MACHINES["8700g"])
    )
    assert there < here


def test_kernels_that_only_take_time_take_that_of_those_that_compute():
    """`TimedArray` and the engine's own kernels have one formula."""
    from xdna.gemm.design import gemm_design
    from xdna.gemm.stream import run_words
    from xdna.gemm.tiling import make_plan
    from xdna.load.configuration import configuration
    from xdna.simulator.gemm import random_operands, submissions

    times = timing("npu1", MACHINES["7940hs"])
    for fields in (
        {},
        {"out": "bfloat16"},
        {"images": "tiles", "parts": 2, "resident": "a"},
        {"out": "bfloat16", "sums": "bfloat16"},
    ):
        array = GemmArray("npu1", 64, 64, 32, **fields)
        assert kernel_calls(array, times)
        plan = make_plan(array, 1, 256, 768, 256)
        (run,) = submissions(plan, *random_operands(plan))
        text = configuration(gemm_design(array), times=times)
        computed = VirtualNpu(text, "fast").run(run_words(plan, run.run), run.buffers)
        (timed,) = TimedArray(array, times).reports(plan)
        assert timed.cycles == computed.cycles
        assert timed.macs == computed.macs


def test_the_command_prints_a_table_and_json(tmp_path, capsys):
    path = tmp_path / "own.csv"
    path.write_text(
        "# measured at home\n"
        "device,design,M,K,N,tile_m,tile_k,tile_n,out,microseconds\n"
        "npu1,whole_array,64,64,64,64,64,64,f32,150\n"
        "npu9,whole_array,64,64,64,64,64,64,f32,150\n"
    )
    assert main(["calibrate", "--csv", str(path)]) == 0
    out = capsys.readouterr().out
    assert "not expressible, device must be one of" in out
    assert "mean absolute error" in out
    assert main(["calibrate", "--csv", str(path), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    own, other = record["rows"]
    assert own["error"] == pytest.approx(own["simulated_microseconds"] / 150 - 1)
    assert record["mean_absolute_error"] == pytest.approx(abs(own["error"]))
    assert other["simulated_microseconds"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no measurements"),
        ("device,design\nnpu1,whole_array\n", "line 2: expected the columns"),
        (
            "#\ndevice,design,M,K,N,tile_m,tile_k,tile_n,out,microseconds\n"
            "npu1,whole_array,many,1,1,1,1,1,f32,1\n",
            "line 3: expected the columns",
        ),
    ],
)
def test_a_bad_table_is_an_error_with_its_line(text, message, tmp_path, capsys):
    path = tmp_path / "own.csv"
    path.write_text(text)
    assert main(["calibrate", "--csv", str(path)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
