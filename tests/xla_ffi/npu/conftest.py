"""The compiled check and self-test, without the extension around them."""

import ctypes
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def library_path(tmp_path_factory):
    """The compiled library of `check_door.cc` and `xla_ffi/npu/verify`."""
    path = tmp_path_factory.mktemp("check") / "libcheck.so"
    sources = sorted(ROOT.glob("xla_ffi/npu/verify/*.cc"))
    sources.append(ROOT / "xla_ffi/base/npu_events.cc")
    sources.append(ROOT / "xla_ffi/npu/images/layout.cc")
    sources.append(ROOT / "tests/xla_ffi/npu/check_door.cc")
    flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    subprocess.run(["g++", *flags, "-I", ROOT, *sources, "-o", path], check=True)
    return path


@pytest.fixture(scope="session")
def library(library_path):
    """`library_path` for ctypes."""
    library = ctypes.CDLL(str(library_path))
    library.find_mistake.restype = ctypes.c_char_p
    library.judge_self_test.restype = ctypes.c_char_p
    library.known_operand.restype = ctypes.POINTER(ctypes.c_uint16)
    return library
