"""The page in a real browser: Chromium, where the machine has one."""

import re
import shutil
import subprocess

import pytest

from xdna.gemm.array import GemmArray
from xdna.gemm.design import gemm_design
from xdna.gemm.tiling import make_plan
from xdna.load.configuration import configuration
from xdna.simulator import VirtualNpu
from xdna.simulator.gemm import random_operands, submissions
from xdna.simulator.page import page, run_record

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
# Uses every control, then says in the title how much was drawn.
VISIT = """
<script>
const EVENTS = { pointermove: PointerEvent, wheel: WheelEvent };
const fire = (node, kind, at = {}) => node.dispatchEvent(
  new (EVENTS[kind] ?? Event)(kind, { bubbles: true, cancelable: true, ...at }));
const canvas = document.querySelector("canvas");
const filled = () => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  return data.filter((value, index) => index % 4 === 3 && value > 0).length;
};
const before = filled();
for (const option of document.querySelector("#metric").options) {
  document.querySelector("#metric").value = option.value;
  fire(document.querySelector("#metric"), "change");
}
const box = canvas.getBoundingClientRect();
const [clientX, clientY] = [box.left + box.width / 2, box.top + 100];
const middle = { clientX, clientY, ctrlKey: true };
fire(canvas, "pointermove", middle);
const tip = document.querySelector("#tip").textContent;
fire(document.querySelector("svg rect[fill=transparent]"), "pointermove", middle);
const tile = document.querySelector("#tip").textContent;
fire(canvas, "wheel", { ...middle, deltaY: -9 });
const zoomed = view.to - view.from < view.end;
fire(document.querySelector("#whole"), "click");
const whole = view.to - view.from === view.end;
document.querySelector("#filter").value = "core (0, 2)";
fire(document.querySelector("#filter"), "input");
document.title = JSON.stringify([before > 1000, filled() < before, tip, tile, zoomed,
  whole, document.documentElement.scrollWidth <= innerWidth]);
</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [420, 1400])
def test_two_runs_are_drawn_and_every_control_works(tmp_path, width):
    array = GemmArray("npu1", 16, 8, 16)
    plan = make_plan(array, 1, 64, 64, 64)
    text = configuration(gemm_design(array))
    npu = VirtualNpu(text, "fast")
    npu.start_trace()
    (one,) = submissions(plan, *random_operands(plan))
    report = npu.run(one.words, one.buffers)
    record = run_record("first", report, npu.trace(), text, "ABC")
    path = tmp_path / "run.html"
    path.write_text(page([record, {**record, "title": "second"}]) + VISIT)
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    options = ["--enable-logging=stderr", f"--window-size={width},900"]
    done = subprocess.run(
        [*command, *options, f"--user-data-dir={tmp_path}/user", f"file://{path}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Uncaught" not in done.stderr, done.stderr
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title
    assert title[1].startswith("[true,true,"), title[1]
    assert title[1].endswith(",true,true,true]"), title[1]
    assert "us, for" in title[1]
    assert "busy" in title[1]
    assert done.stdout.count("<canvas") == 2
    assert done.stdout.count("<svg") == 5  # busy and flows of both, and the roofline
    assert done.stdout.count("<circle") == 2
