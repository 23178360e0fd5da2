"""`jax-npu bench`: what it runs and prints. No test depends on a time."""

import json
import math
import types
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from jax_npu.bench import chart, dispatch, gemm, peak
from jax_npu.bench.gemm_report import CaseResult, as_record, as_table
from jax_npu.bench.gpt2_gemms import GPT2_GEMMS, GemmCase
from jax_npu.bench.in_place import in_place
from jax_npu.bench.other_load import OtherLoad, load_warning
from jax_npu.bench.side_by_side import in_turn, spread, times_as_fast, wide_console
from jax_npu.commands import command_line

PNG = b"\x89PNG\r\n\x1a\n"
NOTHING = jax_npu.Counters(*[0] * 8)
SMALL = "-m 5 -k 7 -n 6 --repeats 2"


def run(capsys, flags):
    assert command_line.main(["bench", *flags.split()]) == 0
    return capsys.readouterr().out


def test_contenders_take_turns_and_something_happens_between_rounds():
    order = []
    contenders = [lambda name=name: order.append(name) or name for name in "ab"]
    assert in_turn(contenders, 2, lambda: order.append("-")) == [["a"] * 2, ["b"] * 2]
    assert order == ["a", "b", "-", "a", "b", "-"]


def test_ratios_are_of_neighbours_in_time():
    assert times_as_fast([6, 8, 10], [12, 24, 25]) == spread([2, 3, 2.5])
    assert f"{spread([3, 1, 2, 9]):.1f}" == "2.5 (1.0-9.0)"


def test_the_gemms_are_those_of_the_step_of_gpt2(gpt2_shapes):
    calls = Counter()
    for case in GPT2_GEMMS:
        calls[case.m, case.k, case.n] += case.calls_per_step
    # Calls of each shape, in the fixture's order; three shapes are two products each.
    assert calls == dict(zip(gpt2_shapes, [12, *[24] * 3, *[12] * 5, 1, 1, 1]))


def test_the_gemms_lie_as_the_step_has_them():
    for case in GPT2_GEMMS:
        transposed = case.name.startswith("dX") != (case.name.endswith("lm_head"))
        of_weight = "nk" if transposed else "kn"
        orders = ("km", "kn") if case.name.startswith("dW") else ("mk", of_weight)
        assert (case.lhs_order, case.rhs_order) == orders, case.name


@pytest.mark.parametrize("order", ["mk kn", "mk nk", "km kn", "km nk"])
@pytest.mark.parametrize("name", ["host", "xla", gemm.XLA_BF16])
def test_every_contender_computes_the_same_product(order, name):
    case = GemmCase("given", 5, 7, 6, *order.split())
    lhs, rhs = gemm._operands(case, jnp.float32)
    product = gemm._product(case, name)(lhs, rhs)
    a = lhs if case.lhs_order == "mk" else lhs.T
    b = rhs if case.rhs_order == "kn" else rhs.T
    assert product.dtype == jnp.float32
    np.testing.assert_allclose(product, np.asarray(a) @ np.asarray(b), atol=0.1)


def test_a_product_is_written_over_the_one_before():
    case = GemmCase("given", 64, 64, 64)
    with jax_npu.backend("host"):
        operands = gemm._operands(case, jnp.float32)
        call = in_place(gemm._product(case, "host"), *operands)
        cells = dict(zip(call.__code__.co_freevars, call.__closure__))
        places = {cells["out"].cell_contents.unsafe_buffer_pointer()}
        for _ in range(3):
            call()
            places.add(cells["out"].cell_contents.unsafe_buffer_pointer())
    assert len(places) == 1


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_gemm_prints_times_shares_and_bytes(custom_call_backend, capsys, dtype):
    flags = f"--backend {custom_call_backend} --against xla xla-bf16 --dtype {dtype}"
    record = json.loads(run(capsys, f"gemm {flags} {SMALL} --b-order nk --json"))
    (gemm,) = record["gemms"]
    assert list(gemm["contenders"]) == [custom_call_backend, "xla", "xla-bf16"]
    assert all(len(one["seconds"]) == 2 for one in gemm["contenders"].values())
    assert gemm["flops"] == 2 * 5 * 7 * 6
    assert (gemm["lhs_order"], gemm["rhs_order"]) == ("mk", "nk")
    if custom_call_backend == "sim":  # the host may read operands in place
        read = {"f32": 4, "bf16": 2}[dtype] * (5 * 7 + 7 * 6)
        assert gemm["packed_bytes_per_call"] > read
        assert gemm["pack_share"] is None
    assert set(gemm["times_as_fast"]) == {"xla", "xla-bf16"}
    assert record["versions"].keys() == {"jax", "jaxlib", "jax-npu"}
    assert record["cores"] >= 1


def test_gemm_prints_a_table_draws_and_traces(capsys, tmp_path):
    files = f"--chart {tmp_path}/c.png --profile {tmp_path}/t.json"
    printed = run(capsys, f"gemm --backend host --against xla {SMALL} {files}")
    assert "5, 7, 6" in printed
    assert "vs xla" in printed
    assert (tmp_path / "c.png").read_bytes().startswith(PNG)
    trace = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    (call,) = (event for event in trace["traceEvents"] if event["ph"] == "X")
    assert call["name"] == "(5, 7) x (7, 6)"


def test_means_and_shares_of_the_peak():
    fast, slow = GemmCase("fast", 100, 100, 50), GemmCase("slow", 100, 100, 200)
    meter = peak.PeakMeter()
    meter.samples = [3e6, 4e6, 2e6]
    counters = jax_npu.Counters(2, 0, 80, 0, 40, 0, 10, 30)
    results = [
        CaseResult(fast, {"host": [1.0, 1.0], "xla": [2.0, 2.0]}, counters, 2),
        CaseResult(slow, {"host": [1.0, 1.0], "xla": [8.0, 8.0]}, NOTHING, 2),
    ]
    record = as_record(results, meter)
    assert record["gemms"][0]["contenders"]["host"]["share_of_peak"] == 0.25
    assert record["gemms"][0]["pack_share"] == 0.25
    assert record["gemms"][0]["packed_bytes_per_call"] == 40
    assert record["gemms"][1]["pack_share"] is None
    mean = record["geometric_mean"]
    assert mean["share_of_peak"] == pytest.approx(0.5)
    assert mean["times_as_fast"]["xla"] == pytest.approx(4)
    with (console := wide_console()).capture() as printed:
        console.print(as_table(results, meter))
    assert "geometric mean" in printed.get()
    assert "50%" in printed.get()


def test_dispatch_reports_the_difference_of_neighbours(monkeypatch, capsys):
    times = {"host": [3.0, 5.0, 4.0], "xla": [1.0, 1.0, 3.0]}
    monkeypatch.setattr(dispatch, "measure", lambda *_: (*times.values(),))
    record = json.loads(run(capsys, "dispatch --backend host --json"))
    assert record["microseconds_per_call"] == {
        "host": {"median": 4, "low": 3, "high": 5},
        "xla": {"median": 1, "low": 1, "high": 3},
        "difference": {"median": 2, "low": 1, "high": 4},
    }


def test_dispatch_runs_a_chain_on_both(custom_call_backend, capsys):
    before = jax_npu.counters()
    flags = f"--backend {custom_call_backend} --size 4 --length 3 --repeats 2"
    printed = run(capsys, f"dispatch {flags}")
    # Three runs of three products: one to compile, and two repeats.
    assert (jax_npu.counters() - before).calls == 3 * 3
    assert "difference" in printed


def test_the_chain_neither_grows_nor_vanishes(monkeypatch):
    seen = []
    monkeypatch.setattr(jax, "jit", lambda f: lambda x: seen.append(f(x)) or seen[-1])
    dispatch._chain("xla", 8, 50)
    assert float(jnp.linalg.norm(seen[0])) == pytest.approx(math.sqrt(8), rel=1e-3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("gemm --repeats 0", "--repeats must be at least 1, got 0"),
        ("gemm --backend tpu", "backend must be one of"),
        ("gemm --backend host --against host", "named once, got host, host"),
        ("gemm --backend host -m 3", "needs -m, -k and -n of at least 1"),
        ("gemm --backend host -m 3 -k 0 -n 1", "needs -m, -k and -n of at least 1"),
        ("gemm --chart no/such/c.png", "there is no folder no/such"),
        ("dispatch --backend xla", "--backend must be another than xla"),
        ("dispatch --backend host --length 0", "--length must be at least 1, got 0"),
    ],
)
def test_bad_flags_are_one_line(capsys, flags, message):
    assert command_line.main(["bench", *flags.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_chart_without_matplotlib_is_one_line(capsys, monkeypatch):
    monkeypatch.setitem(chart.__builtins__, "__import__", without("matplotlib"))
    flags = ["bench", "gemm", "--backend", "host", "--chart", "c.png"]
    assert command_line.main(flags) == 2
    assert "pip install 'jax-npu[bench]'" in capsys.readouterr().err


def without(package):
    def load(name, *args, original=__import__, **kwargs):
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(name)
        return original(name, *args, **kwargs)

    return load


def test_the_highest_sample_of_the_peak_counts(monkeypatch):
    samples = iter([2e9, 5e9, None, 3e9])
    monkeypatch.setattr(peak, "host_peak_flops", lambda: next(samples))
    meter = peak.PeakMeter()
    assert meter.share(1e9) is None
    assert "unknown" in str(meter)
    for _ in range(4):
        meter.sample()
    assert meter.share(1e9) == 0.2
    assert str(meter) == ("bf16 peak 5 GFLOP/s, the highest of 3 samples from 2 on")


def test_the_peak_is_of_all_cores_or_unknown(monkeypatch):
    def measure(num_threads, seconds):
        return num_threads * 1e9 + seconds

    library = types.SimpleNamespace(jax_npu_host_peak_flops=measure)
    monkeypatch.setattr(peak.extension, "load", lambda: library)
    assert peak.host_peak_flops(0.25) == peak.num_cores() * 1e9 + 0.25
    monkeypatch.setattr(peak.extension, "load", types.SimpleNamespace)
    assert peak.host_peak_flops() is None


def test_the_load_of_other_programs_is_separated_from_ours(tmp_path, monkeypatch):
    (tmp_path / "proc").mkdir()

    def write(total, ours, idle):
        (tmp_path / "proc/stat").write_text(f"cpu {total} 0 0 {idle} 0 0 0 0 0 0\n")
        for pid in (11, 12):
            folder = tmp_path / f"proc/{pid}"
            folder.mkdir(exist_ok=True)
            (folder / "stat").write_text(f"{pid} (a) b) R " + "0 " * 10 + f"{ours} 0 0")

    clock = iter([100.0, 101.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    monkeypatch.setattr("os.getpid", lambda: 11)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    write(total=1000, ours=10, idle=5)
    load = OtherLoad([12], tmp_path)
    write(total=1150, ours=60, idle=99)  # 150 ticks, of which 2 x 50 are ours
    assert load.share() == 0.25
    assert load_warning(0.05) is None
    assert "25%" in load_warning(0.25)


def test_adamw_bench_counts_eight_passes_where_optax_takes_eleven(capsys):
    record = json.loads(run(capsys, "adamw --layers 1 --channels 8 --repeats 2 --json"))
    assert record["params"] == 50257 * 8 + 1024 * 8 + 12 * 8 * 8 + 13 * 8 + 2 * 8
    passes = {k: v / 4 / record["params"] for k, v in record["bytes"].items()}
    assert passes["fused"] == 8
    assert passes["optax"] == pytest.approx(11, abs=0.5)
    assert {len(seconds) for seconds in record["seconds"].values()} == {2}
    assert "fused is" in run(capsys, "adamw --layers 1 --channels 8 --repeats 1")
