"""The guide for Ryzen AI machines agrees with the doctor and the commands."""

import re
import shlex
from pathlib import Path

import pytest

from gpt2_flax import __main__ as gpt2_flax
from gpt2_flax.commands import export, plan, train
from jax_npu.commands.command_line import make_parser
from jax_npu.doctor import remedies
from jax_npu.energy import rapl
from jax_npu.runtime import machine
from jax_npu.runtime.environment import CHECK
from jax_npu.toolchain import compilers

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs/ryzen-ai.md").read_text()
README = (ROOT / "README.md").read_text()
FINETUNING = (ROOT / "docs/finetuning.md").read_text()


def commands(text, program):
    """All commands in indented blocks, and all in backquotes that have no "..."."""
    found = re.findall(rf"^    ({program} .*)", text, re.MULTILINE)
    found += re.findall(rf"`({program} [^`]*)`", text)
    return [line for line in found if "..." not in line]


@pytest.mark.parametrize("text", [GUIDE, README], ids=["guide", "readme"])
def test_every_command_in_the_text_exists(text):
    lines = commands(text, "jax-npu")
    assert len(lines) >= 5
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        make_parser().parse_args(words)  # exits if the command does not exist
    for line in commands(text, "gpt2-flax"):
        assert shlex.split(line, comments=True)[1] in gpt2_flax.COMMANDS


@pytest.mark.parametrize("text", [FINETUNING, README], ids=["finetuning", "readme"])
def test_every_flag_of_a_training_in_the_text_exists(text):
    parsers = {"train": train, "plan": plan, "export": export}
    lines = re.findall(r"^    (gpt2-flax (?:train|plan|export) .*)", text, re.MULTILINE)
    assert len(lines) >= 3
    for line in lines:
        _, command, *flags = shlex.split(line, comments=True)
        parsers[command].make_parser().parse_args(flags)


@pytest.mark.parametrize(
    "command",
    [
        remedies.MEMLOCK,
        remedies.UDEV_RULE,
        rapl.READABLE,
        rapl.UDEV_RULE,
        remedies.SYSTEMD_FILE,
        remedies.ENABLE_IN_BIOS,
        remedies.REINSTALL,
        compilers.INSTALL["aiecc"],
        compilers.INSTALL["peano"],
        *CHECK.choices,
    ],
)
def test_the_guide_has_the_doctors_commands(command):
    assert command in GUIDE


@pytest.mark.parametrize(
    "distribution",
    [("ubuntu", "24.04"), ("ubuntu", "26.04"), ("debian", "13"), ("fedora", "46")],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "what", sorted(remedies.PACKAGES.keys() - {"bindings"})
)  # optional
def test_packages_are_those_of_the_doctor(what, distribution):
    command = remedies.install(what, distribution)
    _, _, names = command.rpartition(" install ")
    if "&&" in command:
        assert command.partition(" && ")[0] in GUIDE
    for name in names.split():
        assert name in GUIDE or command.startswith("see ")


def test_chips_are_those_that_are_found():
    for device, kind in machine.KINDS.items():
        (row,) = (x for x in GUIDE.splitlines() if f"| 1022:{device:04x} |" in x)
        assert f"`{kind}`" in row


def test_links_within_the_guide_have_a_target():
    headings = re.findall(r"^#+ (.*)", GUIDE, re.MULTILINE)
    known = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}
    links = re.findall(r"\]\(#([^)]*)\)", GUIDE)
    links += re.findall(r"\]\(docs/ryzen-ai\.md#([^)]*)\)", README)
    assert len(links) >= 3
    assert set(links) <= known
