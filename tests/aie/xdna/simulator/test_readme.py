"""The lines of Python in the simulator's documentation run, without JAX."""

import re
import subprocess
import sys
from pathlib import Path

from xdna.simulator.page import run_of_page

README = Path(__file__).parents[4] / "aie/sim/README.md"
DATA = Path(__file__).parents[1] / "data"

BEFORE = """
import sys
sys.modules |= dict.fromkeys(["jax", "jaxlib", "jax_npu"])  # cannot be imported
import numpy as np
words = [int(word, 16) for word in open("insts.hex").read().split()]
x = np.arange(512).astype("<f4").view("<u2")[1::2].reshape(32, 16).copy()
y = np.zeros((4, 128), np.uint16)
x, y = (one.view("V2").view("<u2") for one in (x, y))
"""
AFTER = """
assert y.any()
"""


def test_the_documented_lines_run_without_jax(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    kernels, script = blocks[0], next(b for b in blocks if "run_record" in b)
    assert len(script.strip().splitlines()) <= 13
    (tmp_path / "design.mlir").write_text(
        (DATA / "sample.lowered.generic.mlir").read_text()
    )
    (tmp_path / "insts.hex").write_text((DATA / "sample.insts.hex").read_text())
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + kernels + script + AFTER],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "busy" in done.stdout
    assert run_of_page(tmp_path / "run.html")["title"] == "scale"
