"""The pages agree with the doctor and the commands."""

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
CHECKS = (ROOT / "docs/precision.md").read_text()
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.rglob("docs/**/*.md"),
    )
}


def commands(text, program):
    """All commands in indented blocks, and all in backquotes that have no "..."."""
    found = re.findall(rf"^    ({program} .*)", text, re.MULTILINE)
    found += re.findall(rf"`({program} [^`]*)`", text)
    return [line for line in found if "..." not in line]


def test_commands_are_found():
    assert len(commands(GUIDE, "jax-npu")) >= 5
    assert len(commands("".join(PAGES.values()), "gpt2-flax")) >= 30


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_every_command_in_the_text_exists(text):
    for line in commands(text, "jax-npu"):
        words = shlex.split(line, comments=True)[1:]
        if len(words) == 1:  # a name in a sentence
            words.append("--help")
            with pytest.raises(SystemExit, match=r"^0$"):
                make_parser().parse_args(words)
        else:
            make_parser().parse_args(words)  # exits if the command does not exist
    for line in commands(text, "gpt2-flax"):
        assert shlex.split(line, comments=True)[1] in gpt2_flax.COMMANDS


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_every_flag_of_a_training_in_the_text_exists(text):
    parsers = {"train": train, "plan": plan, "export": export}
    lines = re.findall(r"^    (gpt2-flax (?:train|plan|export) .*)", text, re.MULTILINE)
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
    assert command in GUIDE + CHECKS


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
