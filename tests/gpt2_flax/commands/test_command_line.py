"""`gpt2-flax` in a terminal: what it prints fits, and says what to do next."""

import importlib
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from gpt2_flax import allocator
from gpt2_flax.__main__ import COMMANDS, main
from gpt2_flax.flags.config import TrainConfig


@pytest.fixture
def gpt2_flax(monkeypatch, capsys):
    """The exit code of a command, and what it printed: (code, out, err)."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["gpt2-flax", *words])
        try:
            code = main()
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    monkeypatch.setenv("COLUMNS", "80")
    return run


@pytest.fixture
def no_restart(monkeypatch):
    """Keeps long commands from replacing this process to tune its allocator."""
    monkeypatch.setenv(allocator.VARIABLE, "glibc.malloc.hugetlb=1")


def test_without_arguments_it_prints_a_guide_whose_commands_exist(gpt2_flax):
    code, out, _ = gpt2_flax()
    assert code == 0
    assert out.count("\n") <= 10
    named = set(re.findall(r"^gpt2-flax (\w+)", out, re.MULTILINE))
    assert len(named) >= 3
    assert named <= set(COMMANDS)


def test_help_lists_every_command_once_on_one_screen(gpt2_flax):
    _, out, _ = gpt2_flax("--help")
    lines = out.splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 80
    listed = [line.split()[0] for line in lines if re.match(r"  [a-z]", line)]
    assert sorted(listed) == sorted([*COMMANDS, "completion"])


@pytest.mark.parametrize("command", ["train", "finetune", "plan"])
def test_help_of_many_flags_is_a_screen_and_its_topics_have_all(
    command, gpt2_flax, no_restart
):
    code, screen, err = gpt2_flax(command, "--help")
    assert (code, err) == (0, "")
    assert len(screen.splitlines()) <= 30
    assert max(map(len, screen.splitlines())) <= 80
    common = re.findall(r"^  (--[a-z-]+)", screen, re.MULTILINE)
    assert {"--weights", "--data", "--lr", "--adapter"} <= set(common)
    _, every, _ = gpt2_flax(command, "--help", "all")
    flags = re.findall(r"^  (--[a-z0-9-]+)", every, re.MULTILINE)
    assert {f"--{f.name.replace('_', '-')}" for f in fields(TrainConfig)} <= set(flags)
    topics = re.search(r"TOPIC \(([^)]*)\)", screen)[1].replace("\n", " ").split(", ")
    pages = [gpt2_flax(command, "--help", topic)[1] for topic in topics]
    assert re.findall(r"^  (--[a-z0-9-]+)", "".join(pages), re.MULTILINE) == flags


def test_every_flag_says_what_it_is():
    for command, (module, _) in COMMANDS.items():
        for flag in importlib.import_module(module).make_parser()._actions:
            assert re.match(r"[\w;-]", flag.help or ""), (command, flag.dest)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan", "--wieghts", "x"], "mean --weights; see gpt2-flax plan --help"),
        (["plan", "--help", "rates"], "machine; see gpt2-flax plan --help"),
        (["sampel"], "did you mean sample; see gpt2-flax --help"),
        *(
            ([name, "--backend"], f"one argument; see gpt2-flax {name} --help")
            for name in ("eval", "plan", "sample")
        ),
    ],
)
def test_an_error_of_usage_is_one_line_that_ends_with_what_helps(
    words, message, gpt2_flax
):
    code, _, err = gpt2_flax(*words)
    assert code == 2
    assert err.endswith(f"{message}\n")
    assert err.count("\n") == 1


def test_the_shell_takes_the_script_that_completes_flags(gpt2_flax, tmp_path):
    code, out, _ = gpt2_flax("completion", "bash")
    assert code == 0
    script = tmp_path / "completion"
    script.write_text(out)
    asked = f"""source {script}
COMP_WORDS=(gpt2-flax sample --temp) COMP_CWORD=2 COMP_LINE='gpt2-flax sample --temp'
_shtab_gpt2_flax gpt2-flax --temp sample
echo "${{COMPREPLY[@]}}" """
    done = subprocess.run(
        ["bash", "-c", asked], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["--temperature"], done.stderr
