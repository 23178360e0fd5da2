"""`gpt2-flax finetune`: the settings of the first two minutes, and flags that win."""

from gpt2_flax import run
from gpt2_flax.commands import finetune

SIZES = {"steps": 3, "num-layers": 1, "num-heads": 2, "embed-dim": 16, "seq-len": 16}
SHORT = [f"--{name}={value}" for name, value in SIZES.items()]


def test_a_model_of_characters_is_trained_and_shows_what_it_learnt(out, capsys):
    flags = [*SHORT, "--batch-size", "2", "--backend", "xla", "--out", str(out)]
    assert finetune.main(flags) == 0
    record = run.read_run(out)
    assert record["train"]["tokenizer"] == "chars"
    assert record["train"]["optimizer"] == "muon"
    assert record["train"]["steps"] == 3  # a flag wins
    assert 64 < record["model"]["vocab_size"] < 128
    printed = capsys.readouterr().out
    for part in (
        "before training: validation loss 4.",
        "after training:  validation loss",
        "perplexity",
        "Sample, from the start of the validation text",
        "Products of one call",
        "forecast of 3 steps",
        "energy: ",
        f"next: gpt2-flax sample --out {out}",
    ):
        assert part in printed


def test_weights_and_named_models_bring_their_own_settings():
    given = {"weights": "openai-community/gpt2"}
    assert finetune.recipe(given) == finetune.WITH_WEIGHTS
    assert finetune.recipe({"model": "gpt2"}) == {}
    assert finetune.recipe({"lr": 1.0}) == finetune.FROM_SCRATCH
