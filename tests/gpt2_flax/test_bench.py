"""The benchmark: what it runs and prints. How fast is never tested."""

import json

import pytest

from gpt2_flax import bench
from gpt2_flax.config import TrainConfig
from gpt2_flax.model import GPT2Config


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    tiny = GPT2Config(
        num_layers=1, num_heads=2, embed_dim=8, vocab_size=31, num_positions=16
    )
    monkeypatch.setattr(bench, "choose_model", lambda config: tiny)


def test_ratios_are_of_neighbouring_steps(monkeypatch):
    clock = iter([0, 9, 0, 8, *[0, 6, 0, 2], *[0, 8, 0, 4], *[0, 10, 0, 4]])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    config = TrainConfig(batch_size=3, seq_len=4)
    measured, other = bench.measure(config, ["host", "xla"], repeats=3)
    assert (measured.seconds, measured.first_seconds) == ([6, 8, 10], 9)
    assert (other.seconds, other.first_seconds) == ([2, 4, 4], 8)
    assert (measured.ratio, other.ratio) == (None, 2.5)  # of 3, 2 and 2.5
    assert other.tokens_per_second == 3 * 4 / 4


def test_json_tells_all_steps_of_all_backends(capsys):
    flags = "--backend host --against xla --batch-size 2 --seq-len 8 --repeats 2 --json"
    assert bench.main(flags.split()) == 0
    record = json.loads(capsys.readouterr().out)
    assert [timing["backend"] for timing in record["timings"]] == ["host", "xla"]
    assert all(len(timing["seconds"]) == 2 for timing in record["timings"])
    assert record["peak_memory_mb"] > 0


def test_the_table_names_the_backends(capsys):
    flags = "--backend host --against xla --batch-size 2 --seq-len 8 --repeats 1"
    assert bench.main(flags.split()) == 0
    printed = capsys.readouterr().out
    assert "host" in printed
    assert "xla" in printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--repeats 0", "--repeats must be at least 1, got 0"),
        ("--backend host --against host", "must name other backends, got host, host"),
        ("--backend tpu", "backend must be one of"),
    ],
)
def test_bad_flags_are_one_line(capsys, flags, message):
    assert bench.main(flags.split()) == 2
    assert message in capsys.readouterr().err
