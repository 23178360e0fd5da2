"""`jax-npu forecast`: a table, JSON, a picture, and one line for bad input."""

import json

import pytest

from jax_npu.commands.command_line import main
from jax_npu.lowering.placement import this_machine
from xdna.placement.host_table import HostTable, points

SMALL = ["forecast", "--model", "distilgpt2", "--batch-size", "1", "--seq-len", "16"]


@pytest.mark.parametrize("machine", ["7940hs", "hx370"])
def test_a_table_has_all_ways_and_parts_in_80_columns(machine, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*SMALL, "--machine", machine, "--assumptions"]) == 0
    out = capsys.readouterr().out
    for word in ("host", "npu", "auto", "paper's", "array", "unpacking", "optimizer"):
        assert word in out
    assert ("watts of this machine" in out) == (machine == "7940hs")
    assert ("as reported" in out) == (machine == "7940hs")
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80


def test_json_has_every_figure_and_its_assumptions(capsys):
    assert main([*SMALL, "--machine", "hx370", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert set(record["ways"]) == {"host", "npu", "auto", "paper"}
    auto = record["ways"]["auto"]
    assert auto["seconds"]["low"] <= auto["seconds"]["expected"]
    assert auto["joules"]["expected"] > 0
    assert set(auto["placement"].values()) <= {"npu", "host"}
    assert all(one["source"] for one in record["assumptions"])
    assert record["paper"]["reported"]["GEMMs"] == 2.8


def test_a_picture_is_written(tmp_path, capsys):
    path = tmp_path / "step.png"
    assert main([*SMALL, "--chart", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_this_machine_has_its_measured_cpu_and_says_whose_npu_it_is(
    monkeypatch, capsys
):
    table = HostTable(dict.fromkeys(points(), 1e-3), 1e10, "Measured CPU", 3)
    monkeypatch.setattr(this_machine, "measured_table", lambda: table)
    monkeypatch.setattr(this_machine, "chip", lambda: None)
    monkeypatch.delenv("JAX_NPU_MACHINE", raising=False)
    assert main([*SMALL, "--machine", "this", "--json"]) == 0
    machine = json.loads(capsys.readouterr().out)["machine"]
    assert machine["name"] == "this machine (no NPU: that of 7940hs)"
    assert (machine["cpu"]["model"], machine["cpu"]["cores"]) == ("Measured CPU", 3)
    monkeypatch.setattr(this_machine, "chip", lambda: "npu2")
    assert main([*SMALL, "--machine", "this", "--json"]) == 0
    machine = json.loads(capsys.readouterr().out)["machine"]
    assert (machine["name"], machine["device"]) == ("this machine (its NPU)", "npu2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--machine", "toaster"], "machine must be one of"),
        (["--seq-len", "2000"], "texts of 1 to 1024 tokens, got 1 x 2000"),
        (["--objective", "energy"], "needs the watts of 7940hs"),
        (["--chart", "missing/step.png"], "there is no folder missing"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys):
    assert main([*SMALL, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1
