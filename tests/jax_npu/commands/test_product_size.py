"""Absurd shapes end in one line, before files are written or memory is asked for."""

import pytest

from jax_npu.commands.command_line import main
from xdna.gemm.tiling import make_plan

HUGE = ["-m", "100000", "-k", "100000", "-n", "100000"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["plan", *HUGE], "(100000, 100000) take 80 GB, at most 64 GB fit into a mac"),
        (["insts", *HUGE, "-o", "i.bin"], "take 80 GB, at most 64 GB"),
        (["plan", "-b", "90000", *["-m", "999", "-k", "999", "-n", "999"]], "at most"),
        (
            ["insts", "-m", "30000", "-k", "30000", "-n", "30000", "-o", "i.bin"],
            "runs, and each would be a file; --max-runs ",
        ),
        (
            ["simulate", "--gemm", "1000000", "1000000", "1000"],
            "(1000000, 1000) takes 8.016 TB of memory, ",
        ),
    ],
)
def test_an_absurd_shape_is_one_line(command, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1
    assert not output.out
    assert not list(tmp_path.iterdir())


def test_as_many_runs_as_asked_for_are_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("xdna.gemm.runs.MAX_IMAGE_BYTES", 1 << 18)
    make_plan.cache_clear()
    shape = ["-m", "500", "-k", "60", "-n", "2000", "-o", str(tmp_path / "i.bin")]
    try:
        assert main(["insts", *shape, "--max-runs", "1"]) == 2
        runs = capsys.readouterr().err.partition("--max-runs ")[2].split()[0]
        assert main(["insts", *shape, "--max-runs", runs]) == 0
    finally:
        make_plan.cache_clear()
    assert len(list(tmp_path.iterdir())) == int(runs) > 1
