"""`jax-npu design --search`: tables, JSON and the picture of a search."""

import json

import pytest

from jax_npu.commands.command_line import main

WORKLOAD = "name,M,K,N,calls_per_step\nup,256,256,512,2\ndown,256,512,256,1\n"


@pytest.fixture
def search(tmp_path):
    path = tmp_path / "work.csv"
    path.write_text(WORKLOAD)
    return ["design", "--search", "--machine", "krackan-350", "--workload", str(path)]


def test_the_best_design_is_shown_beside_the_papers(search, tmp_path, capsys):
    chart = tmp_path / "roofline.png"
    assert main([*search, "--chart", str(chart)]) == 0
    out = capsys.readouterr().out
    assert "krackan-350" in out
    assert "(the paper's)" in out
    assert "2 x up" in out
    assert "times as fast" in out
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_the_record_agrees_with_the_virtual_npu(search, capsys):
    assert main([*search, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    best, paper = record["frontier"][0], record["paper"]
    for name, one in (("winner", best), ("paper", paper)):
        work = one["workloads"]["work"]
        simulated = record["simulated_seconds"][name]["work"]
        assert work["seconds"] == pytest.approx(simulated, rel=0.1)
        products = work["products"].values()
        total = sum(p["calls"] * p["seconds"] for p in products)
        assert work["seconds"] == pytest.approx(total)
    best, paper = (one["workloads"]["work"]["seconds"] for one in (best, paper))
    assert best < paper
    assert record["designs_rated"] > 100


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--tokens", "64"], "--tokens belongs to --search"),
        (["--json"], "--json belongs to --search"),
        (["--search", "--tokens", "64", "--workload", "x.csv"], "--tokens is of GPT-2"),
        (["--search", "--workload", "missing.csv"], "cannot be read"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(flags, problem, capsys):
    assert main(["design", *flags]) == 2
    err = capsys.readouterr().err
    assert problem in err
    assert err.count("\n") == 1
