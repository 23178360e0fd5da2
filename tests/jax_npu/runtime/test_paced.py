"""Products on the paced virtual NPU: no results, and nothing that would need them."""

import json

import pytest

import jax_npu
from jax_npu.bench import arguments
from jax_npu.lowering.settings import DEFAULT_PLACES, current_settings
from jax_npu.runtime import paced
from jax_npu.runtime.designs import design_key
from jax_npu.runtime.environment import PLACE, SIM_PACED
from jax_npu.runtime.target import is_paced

# A process of its own: the virtual NPU is paced for good.
PRODUCTS = """
import json
import jax, jax.numpy as jnp, numpy as np
import jax_npu
from gpt2_flax import run, weights
from jax_npu.runtime import paced

x = np.random.default_rng(0).standard_normal((2, 96, 96), np.float32)
product = jax.jit(lambda x: jax_npu.matmul(x, x, backend="sim"))
host = jax.jit(lambda x: jax_npu.matmul(x, x, backend="host"))
right = np.asarray(host(x))


def refusals():
    texts = []
    for save in (
        lambda: run.save_checkpoint(None, 0, {}),
        lambda: weights.save_weights(None, None, None),
    ):
        try:
            save()
        except ValueError as error:
            texts.append(str(error))
        except (AttributeError, TypeError):
            texts.append("began to save")
    return texts


before = refusals()
results = [bool(np.isnan(product(x)).all()) for _ in range(40)]
print(json.dumps({
    "before": before,
    "after": refusals(),
    "nan": results,
    "host": bool(np.isfinite(right).all()),
    "events": jax_npu.npu_events(),
    "health": jax_npu.npu_health()["sim"].problem,
    "detail": jax_npu.backends()["sim"].detail,
    "calls": jax_npu.counters().calls,
}))
"""


@pytest.fixture(scope="module")
def done(run_python):
    variables = {"JAX_NPU_PLACE": "npu", "JAX_NPU_CHECK": "sample"}
    done = run_python(PRODUCTS, JAX_NPU_SIM_PACED="1", **variables)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def said(done):
    return json.loads(done.stdout)


def test_results_are_nan_and_counted_as_stand_ins(said):
    assert said["nan"] == [True] * 40
    assert said["host"]  # only the virtual NPU is paced
    events = said["events"]
    assert events["stand_ins"] == events["products"] == 40
    assert said["calls"] == 41


def test_checks_take_place_and_find_nothing(said):
    """They are the host's work, and it is the host's work that is timed."""
    assert said["events"]["checks"] >= 2  # the first, and one in 32
    for name in ("mismatches", "host_products", "retries", "self_tests", "unhealthy"):
        assert said["events"][name] == 0, name
    assert said["health"] == ""


def test_stderr_says_once_that_results_are_stand_ins(done, said):
    (line,) = (x for x in done.stderr.splitlines() if x.startswith("jax-npu: "))
    assert line == (
        "jax-npu: backend sim is the virtual npu1 at the pace of 7940hs, which "
        "computes nothing; results are NaN"
    )
    assert said["detail"] in line


def test_no_file_is_written_once_there_are_stand_ins(said):
    assert said["before"] == ["began to save"] * 2
    for text, what in zip(said["after"], ("a checkpoint", "an export")):
        assert text == (
            f"{what} needs results, and those of backend sim are stand-ins while "
            "JAX_NPU_SIM_PACED is 1; unset it, or time steps with 'gpt2-flax bench "
            "--backend sim-paced'."
        )


@pytest.mark.parametrize("command", ["train", "sample"])
def test_training_and_sampling_are_refused_in_one_line(
    command, monkeypatch, capsys, tmp_path
):
    import importlib

    monkeypatch.setenv(SIM_PACED.name, "1")
    main = importlib.import_module(f"gpt2_flax.commands.{command}").main
    assert main(["--backend", "sim", "--out", str(tmp_path / "run")]) == 2
    (line,) = (
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith("gpt2-flax: ")
    )
    assert "needs results, and those of backend sim are stand-ins" in line
    assert not (tmp_path / "run").exists()


def test_the_host_may_train_beside_it(monkeypatch):
    monkeypatch.setenv(SIM_PACED.name, "1")
    paced.require_results("training", "host")


def test_its_programs_run_on_no_other_and_none_of_others_on_it(monkeypatch):
    keys = {}
    for value in ("0", "1"):
        monkeypatch.setenv(SIM_PACED.name, value)
        keys[value] = design_key("sim", "npu1"), design_key("npu", "npu1")
    assert keys["0"][0] != keys["1"][0]
    assert keys["0"][1] == keys["1"][1]


def test_its_name_is_that_of_a_benchmark(monkeypatch):
    monkeypatch.setenv(SIM_PACED.name, "0")
    with pytest.raises(ValueError, match=r"sim-paced is for benchmarks.*_PACED=1"):
        jax_npu.backend("sim-paced")
    arguments.pace_if_asked("host", "sim-paced")
    assert is_paced()
    assert arguments.contender_name("sim-paced") == "sim-paced"
    assert arguments.contender_name("sim") == "sim-paced"
    assert arguments.backend_of("sim-paced") == "sim"


def test_products_are_placed_as_for_a_chip(monkeypatch):
    monkeypatch.delenv(PLACE.name, raising=False)
    places = {}
    for value in ("0", "1"):
        monkeypatch.setenv(SIM_PACED.name, value)
        places[value] = current_settings("sim").place
    assert places == {"0": DEFAULT_PLACES["sim"], "1": DEFAULT_PLACES["npu"]}
    assert places["0"] != places["1"]


def test_another_value_is_one_clear_line(monkeypatch):
    monkeypatch.setenv(SIM_PACED.name, "yes")
    with pytest.raises(ValueError, match="JAX_NPU_SIM_PACED must be one of 0, 1"):
        is_paced()
