"""The benchmark: what it runs and prints. Speed is never tested."""

import contextlib
import json
import os
import shlex
import sys
from dataclasses import replace

import pytest

import jax_npu
from gpt2_flax.bench import command as bench
from gpt2_flax.bench import contender as bench_contender
from gpt2_flax.bench import jax_trainer, worker
from gpt2_flax.bench.report import as_record
from gpt2_flax.bench.results import HOST_PARTS, Bench, Steps
from gpt2_flax.errors import InputError
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.model import GPT2Config
from jax_npu.bench.peak import PeakMeter
from jax_npu.runtime.environment import MACHINE

TINY = GPT2Config(
    num_layers=1, num_heads=2, embed_dim=8, vocab_size=31, num_positions=16
)
FLAGS = "--batch-size 2 --seq-len 8 --repeats 2 --warmup 0"
PNG = b"\x89PNG\r\n\x1a\n"

# Speaks the protocol without JAX, so it starts at once.
FAKE = """
import json, sys
seconds = iter({seconds})
for line in sys.stdin:
    request = json.loads(line)
    if "contender" in request:
        reply = {{"versions": {{"fake": "1.0"}}}}
    elif request["do"] == "step":
        reply = {{"seconds": next(seconds), "loss": 2.0, "counters": None}}
    else:
        reply = {{"peak_memory_bytes": 5_000_000}}
    print(json.dumps(reply), flush=True)
"""


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    monkeypatch.setattr(bench, "choose_model", lambda config: TINY)


@pytest.fixture
def program(tmp_path):
    """A function: the command of a contender that is this Python text."""

    def write(text):
        path = tmp_path / "contender.py"
        path.write_text(text)
        return shlex.join([sys.executable, str(path)])

    return write


@pytest.fixture
def run_bench(capsys):
    """A function: the record that the benchmark prints for these arguments."""

    def run(*arguments):
        assert bench.main([*FLAGS.split(), "--json", *arguments]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def steps(name, seconds, counters=None):
    losses = [1.0] * len(seconds)
    return Steps(name, {}, 4 * seconds[0], seconds, losses, counters, 100)


def test_ratios_are_of_neighbouring_steps():
    measured, other = steps("host", [6, 8, 10]), steps("xla", [12, 24, 25])
    record = as_record(Bench([measured, other], PeakMeter(), 0, 12, 0.0))
    ours, theirs = record["contenders"]
    assert ours["times_as_fast"] is None
    # The ratios are 2, 3 and 2.5; the ratio of the medians would be 3.
    assert theirs["times_as_fast"] == {"median": 2.5, "low": 2, "high": 3}
    assert theirs["first_step_ratio"] == 0.5
    assert theirs["tokens_per_second"] == 12 / 24


def test_shares_and_parts_follow_from_counters():
    counters = jax_npu.Counters(3, 7000, 10, 20, 30, int(4e9), int(2e9), int(6e9))
    peak = PeakMeter()
    peak.samples = [500.0, 1000.0, 800.0]
    one = steps("host", [5.0, 5.0], [counters] * 2)
    (record,) = as_record(Bench([one], peak, 2000, 1, 0.0))["contenders"]
    assert record["share_of_peak"] == 2000 / 5 / 1000
    assert record["gemm_share_of_peak"] == 2000 / 4 / 1000
    # The calls' wall time, 4 s, divided as the 8 s of their threads.
    assert record["part_seconds"] == {"multiplying": 3, "packing": 1, "rest": 1}
    counted = [record[key] for key in ("packed_bytes", "copied_bytes", "calls")]
    assert counted == [10, 30, 3]


def test_contenders_run_in_processes_of_their_own(run_bench, program, tmp_path):
    """One of them runs the real step, with its counters, its trace and its memory."""
    fake = program(FAKE.format(seconds=[9, 4, 2]))
    chart, trace = tmp_path / "chart.png", tmp_path / "trace.json"
    flags = ["--backend", "host", "--against", f"fake={fake}"]
    record = run_bench(*flags, "--chart", str(chart), "--profile", str(trace))
    host, other = record["contenders"]
    assert [host["name"], other["name"]] == ["host", "fake"]
    assert (other["first_seconds"], other["seconds"]) == (9, [4, 2])
    assert len(host["seconds"]) == len(host["losses"]) == 2
    assert 50e6 < host["peak_memory_bytes"] < 2e9
    assert other["peak_memory_bytes"] == 5_000_000
    assert record["versions"]["fake"] == "1.0"
    assert record["versions"].keys() >= {"jax", "jaxlib", "jax-npu"}
    assert record["gemm_flops_per_step"] == host["flops"] > 0
    assert 0 <= record["other_load"] <= 1
    assert chart.read_bytes().startswith(PNG)

    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    calls = [event for event in events if event["ph"] == "X"]  # `host` has no others
    assert len(calls) == host["calls"] == num_custom_calls("host")
    assert sum(call["args"]["flops"] for call in calls) == host["flops"]


def test_the_paced_npu_is_timed_beside_others_and_has_no_loss(run_bench, monkeypatch):
    monkeypatch.setenv(MACHINE.name, "")  # restored after --machine has set it
    record = run_bench(
        *("--backend", "sim-paced", "--against", "sim", "--machine", "hx370")
    )
    paced, sim = record["contenders"]
    assert [paced["name"], sim["name"]] == ["sim-paced", "sim"]
    assert paced["losses"] == [None, None]
    assert all(2 < loss < 5 for loss in sim["losses"])
    for counted in ("calls", "flops", "packed_bytes", "copied_bytes"):
        assert paced[counted] == sim[counted] > 0
    # How long the virtual NPU computes is no figure of a chip.
    assert sim["device_seconds"] is sim["device_idle_share"] is None
    assert 0 < paced["device_seconds"] < 0.1
    assert 0 < paced["device_idle_share"] < 1
    assert sim["late_microseconds"] is None
    assert paced["late_microseconds"] >= 0  # never early
    for contender in paced, sim:
        parts = contender["host_part_seconds"]
        assert parts.keys() == HOST_PARTS.keys()
        for part in ("packing", "flushing", "queueing", "unpacking"):
            assert parts[part] > 0, part


def num_custom_calls(backend):
    """The number of custom calls in the compiled step."""
    config = TrainConfig(batch_size=2, seq_len=8)
    train_step, optimizer = jax_trainer.compiled_later(TINY, config)
    state = jax_trainer.initial_state(jax_trainer.init_params(TINY, 0), optimizer)
    with jax_npu.backend(backend):
        lowered = train_step.lower(state, jax_trainer.random_tokens(31, config))
        return lowered.compile().as_text().count(f'"xdna_gemm_{backend}"')


def test_the_table_names_contenders_and_what_was_measured(capsys):
    counters = jax_npu.Counters(3, 7000, 10**6, 20, 30, int(4e8), int(2e8), int(6e8))
    contenders = steps("host", [2, 1], [counters] * 2), steps("peer", [4, 3])
    results = Bench(contenders, PeakMeter(), 2000, 12, 0.25)
    bench.print_results(results, TINY, bench.parse([]))
    printed, error = capsys.readouterr()
    for text in ("host", "peer", "3.500 (3.000-4.000)", "2.50 (2.00-3.00)", "0.300"):
        assert text in printed
    assert "peak unknown" in printed
    assert "others used 25% of the cores' time" in error


def test_the_table_shows_the_hosts_parts_and_the_npus_idle_share(capsys):
    counters = jax_npu.Counters(3, 7000, 10**6, 20, 30, int(4e8), int(2e8), 0)
    counters = replace(
        counters,
        **{name: 10**8 * (i + 1) for i, name in enumerate(HOST_PARTS.values())},
        flushed_bytes=2**26,
        device_ns=int(5e8),
    )
    paced = replace(steps("sim-paced", [2, 1], [counters] * 2), late_microseconds=40)
    results = Bench([paced, steps("xla", [4, 3])], PeakMeter(), 2000, 12, 0.0)
    (record, other) = as_record(results)["contenders"]
    # Half a second of two and of one.
    assert (record["device_seconds"], record["device_idle_share"]) == (0.5, 0.625)
    assert record["host_part_seconds"] == {
        part: (i + 1) / 10 for i, part in enumerate(HOST_PARTS)
    }
    assert (other["device_seconds"], other["host_part_seconds"]) == (None, {})
    bench.print_results(results, TINY, bench.parse([]))
    printed = capsys.readouterr().out
    for text in ("62.5%", "unpacking, thread s", "0.800", "npu1 of 7940hs"):
        assert text in printed
    assert "40 us late" in printed
    assert "takes 1 ms at the published 64 GB/s" in printed


@pytest.mark.parametrize(
    "name",
    [
        *("torch-bf16", "torch-f32"),
        pytest.param("torch-bf16-compiled", marks=pytest.mark.slow),
    ],
)
def test_torch_trains_the_same_model(name):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    assert name in worker.TORCH_CONTENDERS
    train = {"seed": 0, "batch_size": 2, "seq_len": 8}
    train |= {"lr": 1e-2, "weight_decay": 0.1, "max_grad_norm": 1.0}
    spec = {"contender": name, "model": vars(TINY), "train": train}
    trainer = worker.make_trainer(spec)
    first, *_, last = [trainer.step() for _ in range(4)]
    assert last["loss"] < first["loss"]
    assert abs(first["loss"] - 3.43) < 0.1  # ln 31: it knows nothing yet
    num_params = sum(p.numel() for p in trainer._model.parameters())
    assert num_params == jax_trainer.num_params(TINY)
    assert trainer.versions.keys() == {"torch", "transformers"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--repeats 0", "--repeats must be at least 1, got 0"),
        ("--warmup -1", "--warmup must be at least 0, got -1"),
        ("--backend host --against host", "must be named once, got host, host"),
        ("--backend tpu", "backend must be one of"),
        ("--backend host --against tpu", "backend must be one of"),
        ("--backend sim-paced --against sim-paced", "once, got sim-paced, sim-paced"),
        ("--machine none", "--machine must be one of 7940hs, "),
        ("--backend xla --profile x.json", "xla makes none; give another --backend"),
        ("--profile no/such/x.json", "cannot be written: there is no folder no/such"),
        ("--backend host --against peer=/no/such", "contender peer does not start"),
    ],
)
def test_bad_flags_are_one_line(capsys, flags, message):
    assert bench.main(flags.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_torch_that_is_missing_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(bench_contender, "find_spec", lambda name: None)
    assert bench.main(["--backend", "host", "--against", "torch-bf16"]) == 2
    error = capsys.readouterr().err
    assert "torch-bf16 needs torch and transformers" in error
    assert "pip install 'jax-npu[bench]'" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import sys; input(); sys.exit('no luck')",
            "contender peer ended with code 1: no luck",
        ),
        (
            "import os; input(); os.kill(os.getpid(), 9)",
            "contender peer was killed by signal 9; out of memory?",
        ),
        ("input(); print('hello')", "contender peer must answer in JSON, got 'hello'"),
        ("""input(); print('{"error": "no"}')""", "contender peer failed: no"),
    ],
)
def test_a_contender_that_fails_is_named(program, text, message):
    with (
        bench_contender.Contender(f"peer={program(text)}") as contender,
        pytest.raises(InputError) as error,
    ):
        contender.ask({})
    assert str(error.value) == message


def test_a_workers_memory_is_neither_its_parents_nor_that_of_jax(run_python):
    """The test's own process, which starts it, has loaded all of JAX."""
    program = """
import sys
from gpt2_flax.bench.worker import peak_memory_bytes
print(peak_memory_bytes(), "jax" in sys.modules)
"""
    num_bytes, has_jax = run_python(program).stdout.split()
    assert int(num_bytes) < 60e6 < worker.peak_memory_bytes()
    assert has_jax == "False"


def test_no_contender_outlives_the_benchmark(program, monkeypatch):
    monkeypatch.setattr(bench_contender, "END_SECONDS", 0.1)
    hanging = "import time, sys; print('{}', flush=True); time.sleep(600)"
    contender = bench_contender.Contender(f"peer={program(hanging)}")
    with contextlib.suppress(KeyboardInterrupt), contender:
        contender.ask({})
        raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(contender.pid, 0)


def test_what_a_library_prints_is_no_answer(program):
    noisy = """
import sys
from gpt2_flax.bench import worker

class Trainer:
    versions = {"noise": "1"}
    def step(self):
        print("a step is on its way")
        return {"loss": 1.0}

worker.make_trainer = lambda spec: Trainer()
sys.exit(worker.main())
"""
    with bench_contender.Contender(f"peer={program(noisy)}") as contender:
        assert contender.ask({}) == {"versions": {"noise": "1"}}
        assert contender.ask({"do": "step"}) == {"loss": 1.0}
        with pytest.raises(InputError, match="peer failed: ValueError: no such req"):
            contender.ask({"do": "nothing"})


def test_a_failed_worker_reports_in_one_line():
    with (
        bench_contender.Contender("given") as contender,
        pytest.raises(InputError, match=r"contender given failed: .*31") as error,
    ):
        contender.ask(
            {
                "contender": "host",
                "model": vars(TINY) | {"embed_dim": 31},
                "train": {"batch_size": 2, "seq_len": 8},
            }
        )
    assert "\n" not in str(error.value)
