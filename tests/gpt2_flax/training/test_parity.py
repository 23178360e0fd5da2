"""`gpt2-flax parity`: backends that train alike agree, one that is wrong does not."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest

from gpt2_flax.commands import parity
from gpt2_flax.training.parity import Trained, compare

from ..runs import one_line

SIZES = ["--steps", "2", "--batch-size", "1", "--seq-len", "8"]


@pytest.fixture
def tiny(monkeypatch):
    small = replace(parity.SMALL, num_layers=1, embed_dim=16, num_positions=8)
    monkeypatch.setattr(parity, "SMALL", small)


def test_a_backend_that_rounds_to_bf16_agrees_with_f32(tiny, capsys):
    assert parity.main(["--backend", "host", "--against", "xla", *SIZES]) == 0
    printed = capsys.readouterr().out
    assert "host and xla agree within the bounds." in printed
    assert "DIFFERS" not in printed
    # They are compared, and not one with itself.
    assert any(float(found) > 0 for found in re.findall(r"([\d.]+)%", printed)[::2])


def test_an_npu_whose_results_are_wrong_and_unchecked_does_not(
    virtual_xrt, tiny, monkeypatch, capsys
):
    monkeypatch.setenv("JAX_NPU_CHECK", "off")
    virtual_xrt.set_faults("wrong@20+")
    assert parity.main(["--backend", "sim", "--against", "xla", *SIZES]) == 1
    printed = capsys.readouterr().out
    assert "sim and xla do NOT agree within the bounds." in printed
    assert "DIFFERS" in printed


@pytest.fixture
def trained():
    rng = np.random.default_rng(0)
    gradients = {"a": rng.normal(size=(32, 32)), "b": rng.normal(size=8)}
    losses, norms = rng.uniform(2, 4, 30), rng.uniform(1, 2, 30)
    return Trained(gradients, list(losses), list(norms), 3.0)


def changed(trained, name, factor):
    if name == "gradients":
        return replace(
            trained, gradients=jax.tree.map(lambda g: g * factor, trained.gradients)
        )
    if name == "val_loss":
        return replace(trained, val_loss=trained.val_loss * factor)
    values = list(getattr(trained, name))
    values[3] *= factor
    return replace(trained, **{name: values})


@pytest.mark.parametrize(
    ("name", "factor"),
    [("gradients", 1.02), ("losses", 1.006), ("norms", 1.05), ("val_loss", 0.994)],
)
def test_each_quantity_is_held_to_its_bound(trained, name, factor):
    assert all(one.agrees for one in compare(trained, trained))
    assert all(one.agrees for one in compare(changed(trained, name, 1.001), trained))
    assert not all(
        one.agrees for one in compare(changed(trained, name, factor), trained)
    )
    nan = changed(trained, name, float("nan"))
    assert not all(one.agrees for one in compare(nan, trained))


def test_one_wrong_array_among_many_is_found_by_itself(trained):
    wrong = replace(
        trained, gradients={**trained.gradients, "b": trained.gradients["b"] * 1.05}
    )
    assert [one.what for one in compare(wrong, trained) if not one.agrees] == [
        "gradient of the first batch, worst array b"
    ]


def test_a_backend_is_not_compared_with_itself(capsys):
    assert parity.main(["--backend", "xla", "--against", "xla"]) == 2
    assert "--backend and --against must differ" in one_line(capsys)
