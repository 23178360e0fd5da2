"""`gpt2-flax train` and `bench` begin anew where glibc can ask for huge pages."""

import pytest

from gpt2_flax import __main__ as gpt2_flax
from gpt2_flax import huge_pages

TOLD = """
import os
from gpt2_flax.huge_pages import restart_with_huge_pages
print("begins")
restart_with_huge_pages()
print(os.environ.get("GLIBC_TUNABLES"))
"""


@pytest.fixture
def glibc(monkeypatch, tmp_path):
    """A function: glibc of a version, and a kernel that gives huge pages by a mode."""

    def glibc(version="2.36", mode="always [madvise] never"):
        libc = ("glibc", version) if version else ("", "")
        monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: libc)
        file = tmp_path / "enabled"
        if mode:
            file.write_text(mode + "\n")
        monkeypatch.setattr(huge_pages, "MODE", file)

    return glibc


@pytest.fixture
def restarts(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    commands = []
    monkeypatch.setattr(huge_pages.os, "execv", lambda *args: commands.append(args))
    return commands


@pytest.mark.parametrize("version", ["2.35", "2.41"])
def test_a_program_begins_anew_once(glibc, restarts, version):
    glibc(version)
    huge_pages.restart_with_huge_pages()
    huge_pages.restart_with_huge_pages()
    assert len(restarts) == 1


@pytest.mark.parametrize(
    "machine",
    [
        {"version": "2.34"},
        {"version": ""},  # musl
        {"mode": "always madvise [never]"},
        {"mode": "[always] madvise never"},
        {"mode": ""},  # no such kernel
    ],
    ids=str,
)
def test_a_program_goes_on_where_that_would_bring_nothing(glibc, restarts, machine):
    glibc(**machine)
    huge_pages.restart_with_huge_pages()
    assert not restarts


def test_what_the_user_set_is_kept(glibc, restarts, monkeypatch):
    glibc()
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    huge_pages.restart_with_huge_pages()
    assert not restarts
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=1")
    huge_pages.restart_with_huge_pages()
    assert len(restarts) == 1
    assert (
        huge_pages.os.environ["GLIBC_TUNABLES"]
        == "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1"
    )


def test_the_program_that_begins_anew_is_the_same(run_python):
    done = run_python(TOLD, GLIBC_TUNABLES="")
    assert done.returncode == 0, done.stderr
    if huge_pages.are_for_the_asking():
        assert done.stdout.split() == ["begins", "begins", "glibc.malloc.hugetlb=1"]
    else:
        assert done.stdout.split() == ["begins"]


@pytest.mark.parametrize("command", gpt2_flax.COMMANDS)
def test_commands_that_take_minutes_ask(glibc, restarts, monkeypatch, command, capsys):
    glibc()
    monkeypatch.setattr("sys.argv", ["gpt2-flax", command, "--help"])
    with pytest.raises(SystemExit):
        gpt2_flax.main()
    assert len(restarts) == (command in ("train", "bench"))
