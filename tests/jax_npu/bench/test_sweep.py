"""`jax-npu bench sweep`: what it draws, runs and prints. No test depends on a time."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from jax_npu.bench import sweep
from jax_npu.bench.sweep import SweepCase, draw_cases
from jax_npu.commands import command_line

MAX_BYTES = 1e5


def run(capsys, flags):
    assert command_line.main(["bench", "sweep", *flags.split()]) == 0
    return capsys.readouterr().out


def test_a_seed_draws_the_same_cases_within_the_bounds():
    cases = draw_cases(200, 3, MAX_BYTES)
    assert cases == draw_cases(200, 3, MAX_BYTES)
    assert cases != draw_cases(200, 4, MAX_BYTES)
    assert len(set(cases)) == 200
    assert all(case.num_bytes <= MAX_BYTES for case in cases)
    assert all(case.flops <= sweep.MAX_FLOPS for case in cases)
    assert {case.orders for case in cases} == set(sweep.ORDERS)
    assert {case.dtype for case in cases} == set(sweep.DTYPES)
    assert max(case.n for case in cases) > 1000
    assert any(case.batch > 1 for case in cases)


@pytest.mark.parametrize("name", ["host", "xla"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("orders", sweep.ORDERS)
def test_both_sides_compute_the_product_of_the_case(orders, batch, name):
    case = SweepCase(batch, 5, 7, 6, orders, "f32")
    lhs, rhs = sweep._operands(case)
    product = sweep._product(case, name)(lhs, rhs)
    a, b = (
        np.asarray(x) if order in ("mk", "kn") else np.swapaxes(x, -1, -2)
        for x, order in zip((lhs, rhs), orders.split(","))
    )
    np.testing.assert_allclose(product, a @ b, atol=0.1)
    assert product.dtype == jnp.float32


def test_it_prints_the_slowest_first(capsys, monkeypatch):
    ratios = {1: 0.5, 2: 2.0, 3: 1.0}
    cases = [SweepCase(n, 1, 1, 1, "mk,kn", "f32") for n in ratios]
    monkeypatch.setattr(sweep, "draw_cases", lambda *_: cases)
    monkeypatch.setattr(
        sweep,
        "measure",
        lambda case, *_: sweep.SweepResult(case, 1, 1, ratios[case.batch]),
    )
    record = json.loads(run(capsys, "--backend host --json"))
    assert [p["case"]["batch"] for p in record["products"]] == [2, 3, 1]
    printed = run(capsys, "--backend host --worst 2")
    assert printed.index("2, 1, 1, 1") < printed.index("3, 1, 1, 1")
    assert "│ 1, 1, 1, 1" not in printed  # only the worst two
    assert "1.00 times xla's time as the geometric mean, more than 1.1 times in 1" in (
        printed
    )


def test_it_measures(capsys):
    flags = "--backend host --products 2 --repeats 2 --max-mb 0.01 --json"
    record = json.loads(run(capsys, flags))
    assert len(record["products"]) == 2
    assert all(one["times_the_stock_time"] > 0 for one in record["products"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--backend xla", "--backend must be another than xla"),
        ("--backend host --products 0", "--products must be at least 1, got 0"),
        ("--backend host --max-mb 0", "--max-mb must be more than 0, got 0.0"),
    ],
)
def test_bad_flags_are_one_line(capsys, flags, message):
    assert command_line.main(["bench", "sweep", *flags.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
