"""The trace of a product on the virtual NPU, read in Python.

`jax-npu simulate --trace` writes the events that Perfetto shows: what every core and
DMA channel did and what it waited for. Prints what took most of the time, by kind of
tile, as a share of the time of all agents of that kind.
"""

import subprocess
import tempfile
from collections import Counter
from json import loads
from pathlib import Path

SIZES = "256", "256", "256"


def main():
    file = Path(tempfile.mkdtemp(prefix="trace-")) / "trace.json"
    command = ["jax-npu", "simulate", "--gemm", *SIZES, "--trace", file]
    subprocess.run(command, check=True, capture_output=True)
    events = loads(file.read_text())["traceEvents"]
    places = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in events
        if event["name"] == "thread_name"
    }
    spans = [event for event in events if event["ph"] == "X"]
    end = max(event["ts"] + event["dur"] for event in spans)
    microseconds = Counter()
    for event in spans:
        kind = places[event["pid"], event["tid"]].split(" ")[0]
        microseconds[kind, event["name"]] += event["dur"]
    print(f"{len(spans)} spans of {len(places)} agents in {end:.0f} us")
    for (kind, name), time in microseconds.most_common(8):
        count = sum(place.split(" ")[0] == kind for place in places.values())
        print(f"{kind:10} {name:24} {time / count / end:6.1%} of the time of {count}")


if __name__ == "__main__":
    main()
