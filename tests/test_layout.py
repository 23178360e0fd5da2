"""Who imports whom, and which names are taken."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The programs of gpt2_flax, and the training step that two of them share.
PROGRAMS = {
    *("__main__.py", "backend.py", "loading.py"),
    *("commands/evaluate.py", "commands/export.py"),
    *("commands/sample.py", "commands/train.py", "commands/train_result.py"),
    *("commands/plan.py", "planning/cost.py", "planning/memory.py"),
    *("commands/parity.py", "training/parity.py", "training/progress.py"),
    *("generation/generate.py", "generation/generator.py", "generation/rounded.py"),
    "evaluation/losses.py",
    *("bench/command.py", "bench/contender.py", "bench/jax_trainer.py"),
    *("training/optimizer.py", "training/remat.py", "training/step.py"),
    "training/weight_images.py",
    *("bench/energy.py", "training/reporting/energy.py"),
    *("bench/chart.py", "bench/report.py", "bench/results.py"),
}
FOR_ALL = {"jax_npu.files", "jax_npu.runtime.cache.folder"}  # know nothing of the NPU
TAKEN_BY_MLIR_AIE = {
    "compiler", "dialects", "extras", "helpers", "ir", "iron", "utils"
}  # fmt: skip


def imported(path):
    """Modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def importers(folder, package, besides=frozenset()):
    """Files in `folder` that import `package` or a module of it not in `besides`."""
    return {
        path.relative_to(ROOT / folder).as_posix()
        for path in (ROOT / folder).rglob("*.py")
        for module in imported(path)
        if module.split(".")[0] == package and module not in besides
    }


def test_aie_is_no_python_package_and_shadows_nothing_of_mlir_aie():
    aie = ROOT / "aie"
    if not aie.exists():
        pytest.skip("there is no aie folder")
    assert not (aie / "__init__.py").exists()
    assert not {child.stem for child in aie.iterdir()} & TAKEN_BY_MLIR_AIE


def test_only_the_programs_of_gpt2_flax_import_jax_npu():
    assert (ROOT / "gpt2_flax" / "model.py").exists()
    assert importers("gpt2_flax", "jax_npu", FOR_ALL) <= PROGRAMS


def test_jax_npu_does_not_import_gpt2_flax():
    assert importers("jax_npu", "jax_npu")
    assert not importers("jax_npu", "gpt2_flax")


def test_includes_go_down_and_no_folder_is_crowded():
    check = ROOT / ".ci" / "check-includes"
    done = subprocess.run([check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_paths_of_contributing_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    for row in rows:
        folder = ROOT
        for name in re.findall(r"`(\w+[./][\w./]*)`", row.split("|")[2]):
            near = folder / name
            path = ROOT / name if (ROOT / name).exists() else near
            assert path.exists(), f"{name} in: {row}"
            folder = path if path.is_dir() else path.parent
