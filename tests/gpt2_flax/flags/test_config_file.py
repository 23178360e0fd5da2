"""`--config FILE`: flags in TOML, and the one that `--dry-run` prints."""

from pathlib import Path

import pytest

from gpt2_flax.errors import InputError
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.config_file import as_toml, read_config_file


@pytest.fixture
def file(tmp_path):
    """A function: writes that text to a file, and returns its path."""

    def write(text):
        path = tmp_path / "flags.toml"
        path.write_text(text)
        return path

    return write


def test_tables_and_hyphens_are_only_spelling(file):
    text = (
        "seq-len=32\n[training]\nmin-lr = 0\nlr = 1\nkeep-best=false\n[a.b]\nseed = 3"
    )
    expected = {"seq_len": 32, "min_lr": 0.0, "lr": 1.0, "keep_best": False, "seed": 3}
    assert read_config_file(file(text)) == expected


def test_what_a_configuration_prints_reads_back(file):
    config = TrainConfig(
        data=('a "b" \\n',),
        lr=1e-5,
        patience=3,
        keep_best=False,
        track=("tensorboard",),
    )
    assert TrainConfig(**read_config_file(file(as_toml(config)))) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = ", "needs a TOML file"),
        ("lrr = 1", "there is no flag --lrr; did you mean lr?"),
        ('steps = "4"', "steps must be a whole number, got '4'"),
        ("steps = 4.5", "steps must be a whole number, got 4.5"),
        ("steps = true", "steps must be a whole number, got True"),
        ("keep-best = 1", "keep_best must be true or false, got 1"),
        ("steps = [1, 2]", "steps must be a whole number"),
        ("steps = 1\n[t]\nsteps = 2", "steps is given twice"),
    ],
)
def test_a_mistake_in_the_file_is_named(file, text, message):
    with pytest.raises(InputError, match=r"flags\.toml") as error:
        read_config_file(file(text))
    assert message in str(error.value)


def test_the_command_line_wins_and_a_dry_run_writes_nothing(
    train_run, out, file, capsys
):
    path = file("steps = 30\nlr = 0.5\nschedule = 'linear'")
    flags = ("--config", path, "--lr", 0.25, "--dry-run", "--backend", "xla")
    assert train_run(*flags) == 0
    assert not out.exists()
    printed = capsys.readouterr().out
    for part in ("steps = 30\n", "lr = 0.25\n", 'schedule = "linear"', "0.25 in 3"):
        assert part in printed
    assert "404,992 parameters" in printed


def test_a_recipe_is_found_by_its_name():
    flags = read_config_file(Path("shakespeare-char"))
    # n_layer, n_head, n_embd, block_size, batch_size, max_iters and so on of nanoGPT.
    assert (flags["num_layers"], flags["num_heads"], flags["embed_dim"]) == (4, 4, 128)
    assert (flags["seq_len"], flags["batch_size"], flags["steps"]) == (64, 12, 2000)
    assert (flags["lr"], flags["min_lr"], flags["beta2"]) == (1e-3, 1e-4, 0.99)
    assert (flags["tokenizer"], flags["batches"]) == ("chars", "windows")
    TrainConfig(**flags).check_schedule()


def test_a_file_wins_over_a_recipe_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shakespeare-char").write_text("seed = 7")
    assert read_config_file(Path("shakespeare-char")) == {"seed": 7}
