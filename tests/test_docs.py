"""The pages: their programs run and print what stands there; links have a target."""

import re
import runpy
from pathlib import Path

import pytest

import jax_npu
from jax_npu.runtime.environment import VARIABLES

ROOT = Path(__file__).parents[1]
printed = runpy.run_path(str(ROOT / "docs/site/outputs.py"))["printed"]

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (
        *(
            ROOT / name
            for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")
        ),
        *(ROOT / "aie").rglob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
    )
}
RUN_HERE = [
    "README.md",
    "docs/forecast.md",
    "docs/getting-started.md",
    "docs/precision.md",
    "docs/ryzen-ai.md",
    "docs/tutorial.md",
    "docs/using.md",
]
RUN_ELSEWHERE = {
    "aie/sim/README.md": "tests/aie/xdna/simulator/test_readme.py",
    "docs/finetuning.md": "tests/gpt2_flax/library/test_documentation.py",
    "docs/sharding.md": "tests/test_readme.py",
}
GENERATED = {ROOT / f"docs/reference/{name}.md" for name in ("commands", "environment")}
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*")
# Another CPU rounds and adds in another order, and a loss has three digits.
PRINTED_TOLERANCE = 0.02


@pytest.mark.parametrize("name", RUN_HERE)
def test_programs_run_and_print_what_stands_below_them(name, monkeypatch):
    for variable in VARIABLES:  # what a reader has, not what other tests set
        if variable.name != "JAX_NPU_XRT_TREE":
            monkeypatch.delenv(variable.name, raising=False)
    compared = 0
    with jax_npu.backend("host"):  # where a page names none
        for block, output in printed(PAGES[name]):
            if block[3] is not None:
                assert NUMBER.sub("#", output) == NUMBER.sub("#", block[3])
                assert numbers(output) == pytest.approx(
                    numbers(block[3]), rel=PRINTED_TOLERANCE, abs=PRINTED_TOLERANCE
                )
                compared += 1
    assert compared == PAGES[name].count("```text\n")


def numbers(text):
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def test_every_program_of_a_page_is_run_by_some_test():
    with_programs = {name for name, page in PAGES.items() if "```python" in page}
    assert with_programs == {*RUN_HERE, *RUN_ELSEWHERE}
    for name, test in RUN_ELSEWHERE.items():
        assert Path(name).name in (ROOT / test).read_text()


def test_readme_is_short_and_begins_with_the_commands():
    lines = PAGES["README.md"].splitlines()
    assert len(lines) <= 120
    head = "\n".join(lines[:8])
    assert "    make finetune " in head
    assert "    make test " in head


def anchors(page):
    """The anchors of headings, as forges and the site make them."""
    headings = re.findall(r"^#+ (.*)", page, re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in plain}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_and_headings_of_the_repository(name):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", PAGES[name]):
        if "://" in target:
            continue
        path = (ROOT / name).parent / target if target else ROOT / name
        generated = path.resolve() in GENERATED
        assert generated or path.exists(), target
        if anchor and not generated:
            assert anchor in anchors(path.read_text()), f"{target}#{anchor}"


def test_pictures_load_nothing_from_elsewhere():
    pictures = list((ROOT / "docs").rglob("*.svg"))
    assert len(pictures) >= 3
    for text in (picture.read_text() for picture in pictures):
        assert "<script" not in text
        assert not re.findall(r"""(?:url\(|href=|src=)["']?https?:""", text)


def test_the_generated_pages_have_every_variable_and_command(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/site")
    variables = runpy.run_path(str(ROOT / "docs/site/variables.py"))["page"]()
    for variable in VARIABLES:  # all that the code reads: test_environment.py
        section = variables.split(f"## `{variable.name}`\n")[1].split("\n## ")[0]
        assert variable.meaning[1:20] in section
        assert all(f"| `{choice}` |" in section for choice in variable.choices)
    commands = runpy.run_path(str(ROOT / "docs/site/flags.py"))["page"]()
    for flag in ("--lora-rank", "--until", "--mlir-aie", "--patience"):
        assert f"`{flag}" in commands
    for name in ("gpt2-flax finetune", "jax-npu bench gemm", "jax-npu doctor"):
        assert f"\n## {name}\n" in commands
