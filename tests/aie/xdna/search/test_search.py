"""The search for a design: its workloads, its ranking, and what the best one saves."""

import pytest

from xdna.check.whole_design import check_design
from xdna.gemm.design import gemm_design
from xdna.machines import MACHINES
from xdna.search.candidates import candidates, paper_design
from xdna.search.evaluation import compulsory_bytes, evaluate, flops, simulated_seconds
from xdna.search.frontier import frontier, search
from xdna.search.workload import gpt2_workload, read_workload
from xdna.timing import timing

ARITHMETICS = {"7940hs": "exact", "krackan-350": "bfp16"}


@pytest.fixture(
    scope="module",
    params=["7940hs", pytest.param("krackan-350", marks=pytest.mark.slow)],
)
def ranked(request):
    """(machine, times, arithmetic, workload, all designs from the best one on)."""
    machine = MACHINES[request.param]
    times, arithmetic = timing(machine.device, machine), ARITHMETICS[machine.name]
    products = gpt2_workload(256)
    found = search(candidates(machine.device), {"step": products}, times, arithmetic)
    return machine, times, arithmetic, products, found


def test_the_best_design_is_legal_and_as_fast_as_it_was_forecast(ranked):
    machine, times, arithmetic, products, found = ranked
    best, paper = found[0], paper_design(machine.device)
    assert check_design(gemm_design(best.array)) == []
    seconds = {}
    for array in best.array, paper:
        expected = evaluate(array, products, times, arithmetic)
        simulated = simulated_seconds(array, products, times, arithmetic)
        for part, one in zip(expected.parts, simulated):
            assert part.forecast.seconds == pytest.approx(one, rel=0.1)
        seconds[array] = sum(p.calls * s for p, s in zip(products, simulated))
    assert seconds[paper] / seconds[best.array] > 1.7


def test_the_best_design_moves_little_more_than_it_must(ranked):
    *_, products, found = ranked
    assert found[0].ddr_bytes < 1.26 * compulsory_bytes(products, 4)


def test_the_frontier_trades_time_for_traffic(ranked):
    *_, found = ranked
    shown = frontier(found)
    times = [one.evaluations["step"].seconds for one in shown]
    traffic = [one.ddr_bytes for one in shown]
    assert shown[0] is found[0]
    assert times == sorted(times)
    assert traffic == sorted(traffic, reverse=True)
    for one in found:  # whatever is left out is worse than one that is not
        assert any(
            kept.evaluations["step"].seconds <= one.evaluations["step"].seconds
            and kept.ddr_bytes <= one.ddr_bytes
            for kept in shown
        )


def test_a_step_of_gpt2_has_its_published_work_and_traffic():
    step = gpt2_workload(256)
    assert flops(step) == pytest.approx(189.8e9, rel=1e-3)
    assert compulsory_bytes(step, 4) == pytest.approx(1.40e9, rel=5e-3)
    assert sum(one.calls for one in step) == 3 * (4 * 12 + 1)


def test_a_workload_is_read_with_its_orders(tmp_path):
    path = tmp_path / "work.csv"
    path.write_text(
        "name,M,K,N,calls_per_step,gflop_per_call,a_order\n"
        "one,256,768,2304,12,0.9,\n"
        "# a remark\n"
        "two,2304,256,768,3,0.9,km\n"
    )
    one, two = read_workload(path)
    assert (one.name, one.calls, one.gemm.m, one.gemm.a_order) == ("one", 12, 256, "mk")
    assert (two.gemm.k, two.gemm.a_order, two.gemm.b_order) == (256, "km", "kn")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a,1,2,x,1", "row 1"),
        ("a,1,2,0,1", "at least 1"),
        ("a,1,2", "row 1"),
        ("", "no rows"),
    ],
)
def test_a_wrong_workload_is_one_line(tmp_path, row, problem):
    path = tmp_path / "work.csv"
    path.write_text(f"name,M,K,N,calls_per_step\n{row}\n")
    with pytest.raises(ValueError, match=problem) as raised:
        read_workload(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="cannot be read"):
        read_workload(tmp_path / "missing.csv")
