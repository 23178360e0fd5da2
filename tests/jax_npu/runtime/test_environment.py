"""The table of environment variables is complete, and C++ has the same defaults."""

import os
import re
from pathlib import Path

import pytest

from jax_npu.runtime.environment import (
    CHECK,
    DEVICE,
    HOST_ISA,
    IMAGE_CACHE_MB,
    SIM_ARITHMETIC,
    SIM_CHECKS,
    SIM_PACED,
    STRESS_SECONDS,
    VARIABLES,
    WATCHDOG_SECONDS,
    Variable,
)
from xdna.arithmetics import arithmetics_of
from xdna.devices import DEVICES

ROOT = Path(__file__).parents[3]
SOURCES = ("aie", "gpt2_flax", "jax_npu", "tests", "xla_ffi")
# As they are read: os.environ and getenv take them as whole strings; CMake and make
# as $ENV{NAME} and $(NAME).
READ = re.compile(r"""["'{(](JAX_NPU_[A-Z_]+)["'})]""")
BY_NAME = {variable.name: variable for variable in VARIABLES}


def files():
    for folder in SOURCES:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".cc", ".h", ".hpp", ".inc"}:
                yield path
    yield from (ROOT / "CMakeLists.txt", ROOT / "Makefile")


def test_every_variable_that_is_read_is_in_the_table():
    read = {name for path in files() for name in READ.findall(path.read_text())}
    options_of_cmake = {"JAX_NPU_SANITIZE"}
    assert len(read) > 5
    assert read - options_of_cmake == set(BY_NAME)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda v: v.name)
def test_the_reader_reads_it(variable):
    assert variable.name in (ROOT / variable.reader).read_text()


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda v: v.name)
def test_a_default_is_the_first_choice_or_described(variable):
    if variable.default in variable.choices:
        assert variable.default == next(iter(variable.choices))


@pytest.mark.parametrize(
    ("variable", "pattern"),
    [
        (WATCHDOG_SECONDS, r"kDefaultWatchdogSeconds = (\w+);"),
        (IMAGE_CACHE_MB, r"kDefaultImageCacheMb = (\w+);"),
        (SIM_CHECKS, r'"JAX_NPU_SIM_CHECKS", "(\w+)"'),
        (SIM_PACED, r'"JAX_NPU_SIM_PACED", "(\w+)"'),
        (STRESS_SECONDS, r'"JAX_NPU_STRESS_SECONDS", "(\w+)"'),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_reader_has_the_same_default(variable, pattern):
    text = (ROOT / variable.reader).read_text()
    assert re.findall(pattern, text) == [variable.default]


def test_the_virtual_npu_has_the_same_default_arithmetic():
    text = (ROOT / "aie/sim/xrt/process.cc").read_text()
    (default,) = re.findall(r'"JAX_NPU_SIM_ARITHMETIC", "(\w+)"', text)
    assert default == SIM_ARITHMETIC.default == arithmetics_of("npu1")[0]


@pytest.mark.parametrize("value", [None, ""])
def test_unset_and_empty_are_the_default(value, monkeypatch):
    monkeypatch.delenv(CHECK.name, raising=False)
    if value is not None:
        monkeypatch.setenv(CHECK.name, value)
    assert CHECK.choose() == "sample"


def test_another_value_is_one_clear_line(monkeypatch):
    monkeypatch.setenv(CHECK.name, "often")
    message = (
        "JAX_NPU_CHECK must be one of sample, first, always, off, got 'often'; correct "
        "or unset it"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        CHECK.choose()


def test_devices_and_arithmetics_are_those_of_the_array():
    assert set(DEVICE.choices) <= set(DEVICES)
    assert SIM_ARITHMETIC.default in SIM_ARITHMETIC.choices


def test_instruction_sets_are_those_of_the_host_gemm():
    """Each has a file of its own, which names it."""
    files = {path.stem: path for path in (ROOT / "xla_ffi/host/isa").glob("*.cc")}
    assert files.keys() - {"instruction_set", "peak"} == HOST_ISA.choices.keys()
    for name in HOST_ISA.choices:
        assert f'"{name}"' in files[name].read_text()


def test_a_variable_reads_the_environment_when_it_is_asked(monkeypatch):
    variable = Variable("NAME_OF_THIS_TEST", "nothing")
    assert variable.get() == ""
    monkeypatch.setitem(os.environ, variable.name, "x")
    assert variable.get() == "x"
