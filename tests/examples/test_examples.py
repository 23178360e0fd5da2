"""Each example runs, and what it prints is what its docstring says."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# What an example prints, by its name; groups are numbers.
PRINTED = {
    "equinox_mlp": r"100\.0% of FLOPs.*step 1: loss ([\d.]+)\s+step 60: loss ([\d.]+)",
    "flax_nnx": r"on xla: not offloaded.*accuracy ([\d.]+) before, ([\d.]+) after",
    "gauss_newton": r"highest.*?error ([\d.e-]+)",
    "lora_on_notes": r"the notes: ([\d.]+) before, ([\d.]+) after",
    "own_design": r"\$ jax-npu simulate.*of 512 values were clamped; right: True",
    "plain_jax": r"100\.0% of FLOPs.*step 1: loss ([\d.]+)\s+step 60: loss ([\d.]+)",
    "reading_a_trace": r"core +matmul_tiles_bf16_f32 +([\d.]+)%",
    "two_devices": r"1 .*: \{64\} .*loss ([\d.]+)\s+2 .*: \{32\} .*loss ([\d.]+)",
}
SCRIPTS = str(Path(sys.executable).parent)


def run(name):
    """The output of an example, and the numbers of its pattern."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_NPU_")}
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        env={
            **environment,
            "JAX_NPU_BACKEND": "host",
            "PATH": f"{SCRIPTS}{os.pathsep}{environment['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = re.search(PRINTED[name], done.stdout, re.DOTALL)
    assert found, done.stdout
    return done.stdout, [float(number) for number in found.groups()]


def test_every_example_is_run_here_and_says_what_it_prints():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTED)
    for path in EXAMPLES.glob("*.py"):
        assert "rints" in ast.get_docstring(ast.parse(path.read_text())), path


@pytest.mark.parametrize(
    "name", ["plain_jax", pytest.param("equinox_mlp", marks=pytest.mark.slow)]
)
def test_losses_fall(name):
    _, (first, last) = run(name)
    assert last < 0.7 * first


@pytest.mark.slow
def test_a_classifier_of_flax_learns_with_its_first_layer_offloaded():
    _, (before, after) = run("flax_nnx")
    assert before < 0.7 < 0.9 < after


def test_a_fit_with_precision_highest_is_that_of_float64():
    out, (highest,) = run("gauss_newton")
    default = float(re.search(r"default: largest error ([\d.e-]+)", out)[1])
    assert highest < 1e-5
    assert default > 5 * highest


def test_two_devices_train_as_one_does():
    _, (one, two) = run("two_devices")
    assert one == pytest.approx(two, rel=1e-3)


def test_a_design_of_ones_own_runs_with_its_kernel_in_cpp():
    run("own_design")


def test_a_trace_shows_the_cores_at_work():
    _, (share,) = run("reading_a_trace")
    assert 1 < share < 100


@pytest.mark.slow
def test_an_adapter_learns_the_notes():
    _, (before, after) = run("lora_on_notes")
    assert after < 0.95 * before


@pytest.mark.parametrize(
    "name", ["offload", pytest.param("virtual_npu", marks=pytest.mark.slow)]
)
def test_notebooks_run(name, monkeypatch):
    nbformat, nbclient = map(pytest.importorskip, ("nbformat", "nbclient"))
    monkeypatch.setenv("PATH", f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MPLBACKEND", "agg")
    path = EXAMPLES / f"notebooks/{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "kept outputs"
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    assert outputs
    assert not any(out["output_type"] == "error" for out in outputs)
