"""Sizes read from ELF objects, compared with those that binutils reads."""

import re
import subprocess

import pytest

from jax_npu.toolchain.object_file import data_bytes, program_bytes

SOURCE = """
extern const float table[300];
const float table[300] = {1, 2, 3};
int zeros[50], numbers[7] = {1};
extern "C" const char* word(int i) {
  static const char* words[] = {"a", "bcd"};
  return words[i];
}
"""


def compiled(folder, source, *flags):
    command = ["g++", *flags, "-fdata-sections", "-O2", "-c", "-x", "c++", "-"]
    command += ["-o", folder / "kernels.o"]
    subprocess.run(command, input=source, text=True, check=True)
    return folder / "kernels.o"


def test_constants_are_those_that_binutils_counts(tmp_path):
    path = compiled(tmp_path, SOURCE, "-m32")
    sections = subprocess.run(
        ["size", "-A", path], capture_output=True, text=True, check=True
    ).stdout
    sizes = re.findall(r"^\.(?:data|rodata|bss)\S*\s+(\d+)", sections, re.M)
    least = sum(map(int, sizes))
    assert least >= 4 * (300 + 50 + 7)
    assert least <= data_bytes(path) <= least + 31 * len(sizes)  # 31: alignment


def test_instructions_are_those_that_binutils_counts_but_for_some_functions(tmp_path):
    functions = 'extern "C" int one(int x) { return 3 * x; }'
    functions += ' extern "C" int two(int x) { return one(x) / 7; }'
    path = compiled(tmp_path, functions, "-m32", "-ffunction-sections", "-fno-inline")
    sections = subprocess.run(
        ["size", "-A", path], capture_output=True, text=True, check=True
    ).stdout
    sizes = dict(re.findall(r"^\.text\.(\w+)\s+(\d+)", sections, re.M))
    one, two = int(sizes["one"]), int(sizes["two"])
    assert min(one, two) > 0
    assert program_bytes(path) == one + two
    assert program_bytes(path, ["two", "three"]) == one


def test_an_object_without_constants_needs_none(tmp_path):
    assert data_bytes(compiled(tmp_path, "int f() { return 1; }", "-m32")) == 0


def test_what_is_no_object_of_a_core_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a 32-bit ELF object"):
        data_bytes(compiled(tmp_path, SOURCE, "-m64"))
    path = compiled(tmp_path, SOURCE, "-m32")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="damaged ELF object"):
        data_bytes(path)
