"""`jax-npu` in a terminal: what it prints fits, and says what to do next."""

import argparse
import io
import re
import subprocess

import jax
import pytest
import rich
from rich.console import Console

import jax_npu
from jax_npu.commands.command_line import GROUPS, main, make_parser
from jax_npu.explanation.products import Explanation, Row
from xdna.machines import MACHINES

SIZES = ["-m", "256", "-k", "768", "-n", "2304"]
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]")


@pytest.fixture(params=[80, 60])
def columns(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setattr(rich, "_console", None)  # it keeps the first width that it saw
    return request.param


def help_of(capsys, *words):
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--help"])
    return capsys.readouterr().out.splitlines()


def test_without_arguments_it_prints_a_guide_whose_commands_exist(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 3 <= len(lines) <= 10
    for line in lines:
        command = re.split(r"  +", line)[0].split()[1:]
        if command != ["--help"]:
            make_parser().parse_args(command)
        assert len(line) <= 80


def test_help_lists_every_command_once_on_one_screen(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = help_of(capsys)
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 80
    listed = [line.split()[0] for line in lines if re.match(r"  [a-z]", line)]
    assert len(listed) == len(set(listed)) == sum(map(len, GROUPS.values()))
    for name in listed:
        usage, *_ = help_of(capsys, name)
        assert usage.startswith(f"usage: jax-npu {name} ")


def test_the_usage_of_many_flags_is_one_line_with_those_that_are_required(
    capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    lines = help_of(capsys, "plan")
    assert lines[:2] == ["usage: jax-npu plan [flags] -m M -k K -n N", ""]
    for action in make_parser().parse_args(["plan", *SIZES]).__dict__:
        if action != "command":
            assert any(f"-{action.replace('_', '-')}" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulat"], "did you mean simulate; see jax-npu --help"),
        (["frobnicate"], "no command 'frobnicate'; see jax-npu --help"),
        (["plan"], "-m, -k, -n; see jax-npu plan --help"),
        (["plan", *SIZES, "--nope"], "see jax-npu --help"),
        (["doctor", "--backend", "gpu"], "see jax-npu doctor --help"),
    ],
)
def test_an_error_of_usage_is_one_line_that_ends_with_what_helps(
    words, message, capsys
):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    err = capsys.readouterr().err
    assert err.endswith(f"{message}\n")
    assert err.count("\n") == 1


def test_tables_fit_and_names_stay_whole(columns, capsys):
    for words in (["machines"], ["plan", *SIZES], ["forecast", "--model", "gpt2"]):
        assert main(words) == 0
        lines = capsys.readouterr().out.splitlines()
        table = [x for x in lines if x.startswith((" ", "\u2502", "\u250c"))]
        table = table[: 20 if "forecast" in words else None]  # prose follows
        assert len(table) > 5
        assert max(map(len, table)) <= columns
        if words == ["machines"]:
            firsts = {line.split()[0] for line in table if line.strip()}
            assert set(MACHINES) <= firsts


def products(backend, reasons):
    row = Row(
        *(64, 1024, 1024, 64, "float32", "bfloat16", "float32", backend),
        calls=1200,
        share=0.1,
    )
    others = [
        Row(1, 50257, 768, 64, *["bfloat16"] * 3, "xla", reason, share=0.2)
        for reason in reasons
    ]
    return Explanation((row, *others), {})


def test_each_product_takes_one_line_whatever_its_reason(columns):
    reasons = ("dtype float16", "a convolution " + "with a long description " * 3)
    console = Console(width=columns, record=True, file=io.StringIO())
    console.print(products("host", reasons))
    lines = console.export_text().splitlines()
    rows = [line for line in lines if re.search(r"\d x ", line)]
    assert len(rows) == 3
    assert max(map(len, lines)) <= columns
    assert not any("\u2026" in line for line in rows)
    text = " ".join(" ".join(lines).split())
    for reason in reasons:
        assert reason.strip() in text


def test_the_predictions_of_a_program_fit(columns):
    def program(x, y):
        return jax_npu.matmul(x, y), jax_npu.matmul(y.astype("bfloat16"), x)

    shapes = (50257, 768), (768, 50257)
    arrays = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    with jax_npu.backend("sim"):
        found = jax_npu.explain(program, *arrays)
    console = Console(width=columns, record=True, file=io.StringIO())
    console.print(found)
    lines = console.export_text().splitlines()
    assert sum(" x " in line and line[:1] == " " for line in lines) >= 2
    assert any("npu ms" in line for line in lines)
    assert not any("\u2026" in line for line in lines)


def test_colours_are_for_terminals_that_want_them(capsys, monkeypatch):
    def doctors(**environment):
        for name in ("NO_COLOR", "TTY_COMPATIBLE", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        main(["doctor", "--backend", "host"])
        return capsys.readouterr().out

    assert "\x1b" not in doctors()  # into a file or a pipe
    assert COLOUR.search(doctors(TTY_COMPATIBLE="1"))
    assert not COLOUR.search(doctors(TTY_COMPATIBLE="1", NO_COLOR="1"))


def test_the_shell_takes_the_script_that_completes_commands(capsys, tmp_path):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion"
    script.write_text(capsys.readouterr().out)
    asked = f"""source {script}
COMP_WORDS=(jax-npu sim) COMP_CWORD=1 COMP_LINE='jax-npu sim'
_shtab_jax_npu jax-npu sim jax-npu
echo "${{COMPREPLY[@]}}" """
    done = subprocess.run(
        ["bash", "-c", asked], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["simulate"], done.stderr


def flags(parser):
    """All flags of a parser, and those of its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from flags(command)
        elif action.option_strings:
            yield parser.prog, action


def test_every_flag_of_every_command_says_what_it_does():
    found = list(flags(make_parser()))
    assert len(found) > 100
    assert not [(command, x.option_strings) for command, x in found if not x.help]
