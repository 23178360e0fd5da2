"""What an installed jax-npu is to others: quick to import, typed, and versioned."""

import json
import re
import tomllib
from importlib import metadata, resources
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

IMPORTED = """
import json, sys
import jax
before = set(sys.modules)
import jax_npu
print(json.dumps(sorted(set(sys.modules) - before)))
"""
# jax imports the package in every process: modules of its own, and of the standard
# library what they need. A package that others wrote would take a second.
MOST_MODULES = 20
OWN = ("jax_npu", "_editable_skbc_jax_npu")


def test_importing_it_over_jax_imports_few_modules_and_no_other_package(run_python):
    done = run_python(IMPORTED)
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stdout)
    assert "jax_npu.plugin" in modules
    assert len(modules) <= MOST_MODULES
    packages = metadata.packages_distributions()
    foreign = {name.split(".")[0] for name in modules} & packages.keys()
    assert foreign <= set(OWN)


def test_every_package_is_typed():
    for package in PROJECT["tool"]["scikit-build"]["wheel"]["packages"]:
        assert (resources.files(package) / "py.typed").is_file(), package


def test_every_extra_that_the_sources_name_exists():
    extras = set(PROJECT["project"]["optional-dependencies"])
    named = set()
    for folder in ("jax_npu", "gpt2_flax", "docs", "README.md", "examples"):
        paths = [ROOT / folder, *(ROOT / folder).rglob("*.[pm][yd]")]
        for path in filter(Path.is_file, paths):
            for match in re.findall(r"jax-npu\[([\w,]+)\]", path.read_text()):
                named |= set(match.split(","))
    assert {"gpt2", "hub", "completion"} <= named
    assert named <= extras


def test_the_version_is_at_least_that_of_the_changelog():
    found = [int(x) for x in metadata.version("jax-npu").split(".")[:3]]
    changes = (ROOT / "CHANGELOG.md").read_text()
    released = re.search(r"^## (\d+)\.(\d+)\.(\d+) ", changes, re.MULTILINE)
    assert found >= [int(x) for x in released.groups()]
