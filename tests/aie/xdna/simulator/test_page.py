"""The page of a run: one file that needs no network, with the run's own figures."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from xdna.dialect.text import parse_module
from xdna.load.configuration import configuration
from xdna.simulator import Kernel, VirtualNpu
from xdna.simulator.page import events as events_module
from xdna.simulator.page import page, run_of_page, run_record
from xdna.simulator.page.array import flows
from xdna.simulator.page.events import timeline

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def record():
    text = configuration(
        parse_module((DATA / "sample.lowered.generic.mlir").read_text())
    )
    words = (DATA / "sample.insts.hex").read_text().split()
    double = Kernel("scale_bf16", lambda x, y: None, "rw", ["<u2", "<u2"], cycles=100)
    npu = VirtualNpu(text, kernels=[double])
    npu.start_trace()
    buffers = [np.zeros((32, 16), np.uint16), np.zeros((4, 128), np.uint16)]
    report = npu.run(np.array([int(word, 16) for word in words], np.uint32), buffers)
    title = "</script><b>scale & co</b>"
    return run_record(title, report, npu.trace(), text, ["x"], {"by": "</script>"})


def test_a_page_needs_no_other_file_and_its_data_cannot_end_its_script(record):
    text = page([record])
    assert not re.search(r"(src|href)=|@import|url\(|fetch\(|XMLHttp", text)
    links = set(re.findall(r"https?://[^\"'\s]+", text))
    assert links == {"http://www.w3.org/2000/svg"}  # a name, which nothing loads
    assert text.count("</script>") == text.count("<script") == 2
    assert "<title>&lt;/script&gt;" in text
    assert not re.search(r"@[A-Z]+@", text)


def test_a_page_gives_its_run_back(record, tmp_path):
    path = tmp_path / "run.html"
    path.write_text(page([record]), encoding="utf-8")
    assert run_of_page(path) == json.loads(json.dumps(record))
    both = {**record, "title": "second"}
    path.write_text(page([record, both]), encoding="utf-8")
    assert run_of_page(path)["title"] == record["title"]
    with pytest.raises(ValueError, match="one run or two, got 3"):
        page([record] * 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "is not a page that 'simulate --report' wrote"),
        (b"\xff\xfe", "is not a page"),
        (b'<script id="runs" type="application/json">[</script>', "is not a page"),
        (
            b'<script id="runs" type="application/json">[{"format":0}]</script>',
            "has format 0, this version reads 1",
        ),
    ],
)
def test_another_file_is_refused(tmp_path, content, message):
    path = tmp_path / "other.html"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        run_of_page(path)


def test_the_record_holds_tiles_flows_and_operands(record):
    tiles = {(one["column"], one["row"]): one for one in record["tiles"]}
    assert tiles[0, 2]["kind"] == "core"
    assert 0 < tiles[0, 2]["busy"] < 1
    assert tiles[0, 2]["busy"] + sum(tiles[0, 2]["stalls"].values()) == pytest.approx(1)
    assert tiles[0, 0]["out"] == tiles[0, 0]["in"] == 1024
    sources = [flow["from"] for flow in record["flows"]]
    assert [0, 0, 0] in sources
    assert [one["name"] for one in record["arguments"]] == ["x", ""]
    assert record["roofline"] is None  # its kernel counts no multiply-accumulates
    assert record["timeline"]["resolution"] == 0


def test_many_short_events_are_joined_and_their_times_and_bytes_stay(monkeypatch, rng):
    monkeypatch.setattr(events_module, "MAX_EVENTS", 100)
    trace = [{"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "cores"}}]
    trace += [
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": 7, "args": {"name": "core"}}
    ]
    at, total = 0.0, {"moves": [0.0, 0], "stream": [0.0, 0]}
    for name in rng.choice(list(total), 3000):
        duration, moved = float(rng.uniform(0.01, 0.1)), int(rng.integers(1, 100))
        event = {"ph": "X", "name": str(name), "tid": 7, "ts": at, "dur": duration}
        trace.append({**event, "args": {"bytes": moved}})
        total[name][0] += duration
        total[name][1] += moved
        at += duration
    trace.append(
        {"ph": "X", "name": "long", "tid": 7, "ts": at, "dur": 50.0, "args": {"bd": 3}}
    )
    shown = timeline(trace)
    assert shown["resolution"] > 0
    (track,) = shown["tracks"]
    assert len(track["events"]) <= 200
    sums = {name: [0.0, 0] for name in shown["names"]}
    end = 0.0
    for begin, duration, name, *details in track["events"]:
        assert begin >= end - 1e-3
        end = begin + duration
        sums[shown["names"][name]][0] += duration
        sums[shown["names"][name]][1] += details[0] if details else 0
    for name, (duration, moved) in total.items():
        assert sums[name] == [pytest.approx(duration, rel=1e-2), moved]
    assert track["events"][-1][:2] == [pytest.approx(at, abs=1e-3), 50.0]
    assert track["events"][-1][4] == 3


def test_flows_are_of_channels_and_names_and_carry_their_packets():
    lines = [
        "route 0 0 1 0 1 2 2",
        "route 0 0 1 0 2 0 3",
        "packet_route 0 2 trace0 0 0 1 3 7 1",
        "packet_route 0 0 0 0 2 control 3 4 0",
        "packet_route 0 0 0 0 2 control 3 5 0",
    ]
    assert flows([line.split() for line in lines]) == [
        {"from": [0, 0, 1], "to": [[0, 1, 2], [0, 2, 0]], "packets": []},
        {"from": [0, 2, "trace0"], "to": [[0, 0, 1]], "packets": [7]},
        {"from": [0, 0, 0], "to": [[0, 2, "control"]], "packets": [4, 5]},
    ]
