import os
import signal
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("scratch") / "scratch"
    source = HERE / "scratch_main.cc"
    includes = ["-I", HERE.parents[2]]
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-Wall", *includes, source, "-o", path], check=True
    )
    return path


def run(*command):
    """The exit status, without a sanitizer's runtime, which would catch signals."""
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    return subprocess.run(command, env=environment).returncode


def test_memory_is_on_a_line_and_kept_until_more_is_asked_for(program):
    assert run(program) == 0


def test_a_value_written_past_the_end_is_trapped(program):
    assert run(program, "past") == -signal.SIGSEGV
