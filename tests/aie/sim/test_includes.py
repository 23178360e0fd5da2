"""Which folder of the virtual NPU includes which: arrows go down only."""

import re
from pathlib import Path

import pytest

SIM = Path(__file__).parents[3] / "aie" / "sim"
# What a folder may include of the others. The root holds the interface for ctypes.
BELOW = {
    "": {"engine", "program", "report"},
    "xrt": {"engine", "program", "report"},
    "engine": {"program", "report"},
    "program": {"report"},
    "report": set(),
}


def folder_of(path):
    """The first folder of a path from `aie/sim`, or "" for a file of the root."""
    return path.split("/")[0] if "/" in path else ""


def files():
    return sorted(path for path in SIM.rglob("*") if path.suffix in (".cc", ".h"))


def included(path):
    return re.findall(r'#include "([^"]+)"', path.read_text())


@pytest.mark.parametrize("folder", BELOW)
def test_a_folder_includes_only_folders_below_it(folder):
    own = [path for path in files() if folder_of(str(path.relative_to(SIM))) == folder]
    assert own
    for path in own:
        for name in included(path):
            if name.startswith("aie/sim/"):
                other = folder_of(name.removeprefix("aie/sim/"))
                assert other in BELOW[folder] | {folder}, f"{path} includes {name}"


def test_the_virtual_npu_includes_nothing_of_xla_ffi():
    including = [path for path in files() if "xla_ffi" in " ".join(included(path))]
    assert not including
