"""The forge's files meet their schemas, and run what the Makefile has."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORGE = ROOT / ".github"
WORKFLOWS = sorted((FORGE / "workflows").glob("*.yml"))
FORMS = sorted((FORGE / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
FORMS += [FORGE / "ISSUE_TEMPLATE/chip.yml"]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("dependabot", [FORGE / "dependabot.yml"]),
        ("github-issue-forms", FORMS),
        ("github-issue-config", [FORGE / "ISSUE_TEMPLATE/config.yml"]),
        ("citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_files_meet_their_schemas(schema, files):
    assert files
    command = [sys.executable, "-m", "check_jsonschema"]
    done = subprocess.run(
        [*command, "--builtin-schema", f"vendor.{schema}", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_workflows_run_targets_and_scripts_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    text = "\n".join(path.read_text() for path in WORKFLOWS)
    made = set(re.findall(r"run: make ([a-z-]+)", text))
    scripts = set(re.findall(r"(?<![\w/])\.ci/[a-z-]+", text))
    assert len(made) >= 4
    assert made <= targets
    assert all((ROOT / script).exists() for script in scripts)


def test_templates_ask_for_the_report_and_the_changelog_has_the_version():
    for form in FORMS:
        assert "jax-npu report" in form.read_text()
    version = re.search(
        r'fallback_version = "([\d.]+)"', (ROOT / "pyproject.toml").read_text()
    )[1]
    assert f"## {version} " in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
