"""`jax-npu`: each command does its job, and bad input is one line and exit code 2."""

import json
import subprocess
import sys

import numpy as np
import pytest

from jax_npu.commands.command_line import main
from jax_npu.runtime.designs import gemm_array
from xdna.gemm.artifact import design_text
from xdna.gemm.stream import decode_schedule, run_words, schedule
from xdna.gemm.tiling import make_plan

SIZES = ["-m", "256", "-k", "768", "-n", "2304"]


@pytest.mark.parametrize("generic", [[], ["--generic"]])
def test_a_written_design_passes_and_the_memory_left_is_printed(
    generic, tmp_path, capsys
):
    path = tmp_path / "design.mlir"
    command = ["design", "--device", "npu1", "--tile", "64", "64", "32", *generic]
    assert main([*command, "-o", str(path)]) == 0
    assert main(["check", str(path)]) == 0
    left = "20480 bytes left for .data and .rodata in the fullest core, (0, 2)"
    assert capsys.readouterr().out == f"{path}: ok; {left}\n"


def test_a_broken_design_is_reported_with_its_tile(tmp_path, capsys):
    path = tmp_path / "design.mlir"
    main(["design", "-o", str(path)])
    text = path.read_text().replace("bd_id = 1 : i32", "bd_id = 99 : i32", 1)
    path.write_text(text)
    assert main(["check", str(path)]) == 2
    out, err = capsys.readouterr()
    assert "99" in out
    assert err.startswith(f"jax-npu: {path}: ")


def test_instructions_are_those_of_the_plan_and_disassemble(tmp_path, capsys):
    path = tmp_path / "insts.bin"
    assert main(["insts", "--device", "npu1", *SIZES, "-o", str(path)]) == 0
    words = np.fromfile(path, "<u4")
    array = gemm_array("npu1")
    plan = make_plan(array, 1, 256, 768, 2304)
    assert decode_schedule(array, words) == schedule(plan, plan.runs[0])
    capsys.readouterr()
    assert main(["disasm", str(path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 80


def test_default_instructions_fit_the_design_that_build_and_the_backends_use(tmp_path):
    path = tmp_path / "insts.bin"
    assert main(["insts", "--device", "npu1", *SIZES, "-o", str(path)]) == 0
    plan = make_plan(gemm_array("npu1"), 1, 256, 768, 2304)
    assert plan.array.is_tiled
    assert np.array_equal(np.fromfile(path, "<u4"), run_words(plan, plan.runs[0]))
    design = tmp_path / "design.mlir"
    assert main(["design", "--device", "npu1", "-o", str(design)]) == 0
    assert design.read_text() == design_text(gemm_array("npu1"))


def test_a_plan_is_a_table_or_json(capsys):
    assert main(["plan", "--device", "npu2", *SIZES]) == 0
    assert "DDR traffic" in capsys.readouterr().out
    tile = ["--tile", "64", "64", "64"]
    assert main(["plan", "--device", "npu2", *tile, *SIZES, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [record["gemm"][size] for size in "mkn"] == [256, 768, 2304]
    assert record["padding"] == pytest.approx(2560 / 2304)


def test_a_wasteful_plan_prints_a_warning(capsys):
    assert main(["plan", "-m", "1", "-k", "64", "-n", "64"]) == 0
    assert "padding multiplies the work by" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "--device", "npu9", *SIZES], "device must be one of"),
        (["plan", "-m", "0", "-k", "1", "-n", "1"], "at least 1, got m = 0"),
        (["design", "--tile", "128", "128", "128"], "do not fit"),
        (["check", "missing.mlir"], "missing.mlir"),
        (["disasm", "missing.bin"], "missing.bin"),
        (["design", "-o", "/nowhere/design.mlir"], "/nowhere/design.mlir cannot"),
    ],
)
def test_bad_input_is_one_line_on_stderr(arguments, message, capsys):
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "content", [b"abc", b"", b"\0" * 16, np.arange(64, dtype="<u4").tobytes()]
)
def test_what_is_no_stream_is_refused_with_its_place(content, tmp_path, capsys):
    path = tmp_path / "broken.bin"
    path.write_bytes(content)
    assert main(["disasm", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_output_goes_through_links_and_leaves_nothing_else(tmp_path):
    target, link = tmp_path / "target.mlir", tmp_path / "link.mlir"
    link.symlink_to(target)
    assert main(["design", "-o", str(link)]) == 0
    assert link.is_symlink()
    assert target.read_text().startswith("module {")
    assert sorted(tmp_path.iterdir()) == [link, target]
    assert main(["design", "-o", str(tmp_path)]) == 2
    assert sorted(tmp_path.iterdir()) == [link, target]


def test_output_has_the_mode_of_the_umask(tmp_path):
    path = tmp_path / "design.mlir"
    path_of_touch = tmp_path / "touched"
    path_of_touch.touch()
    assert main(["design", "-o", str(path)]) == 0
    assert path.stat().st_mode == path_of_touch.stat().st_mode


def test_a_closed_pipe_is_quiet():
    command = f"{sys.executable} -m jax_npu.commands.command_line design | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("module {\n", "")


def test_a_binary_file_is_no_design(tmp_path, capsys):
    path = tmp_path / "insts.bin"
    main(["insts", *SIZES, "-o", str(path)])
    assert main(["check", str(path)]) == 2
    assert f"{path} is not text" in capsys.readouterr().err
