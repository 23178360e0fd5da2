"""The process of a contender; contender.py describes its requests and replies.

It imports little at the top: what one contender imports must not count as another's
memory.
"""

import json
import os
import re
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TextIO

TORCH_CONTENDERS = ("torch-bf16", "torch-bf16-compiled", "torch-f32")


class Trainer(Protocol):
    versions: dict[str, str]

    def step(self) -> dict[str, Any]: ...

    def profile(self, path: str) -> None: ...


def main() -> int:
    # Replies go to a copy of stdout: what libraries print must not come between them.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        serve(sys.stdin, lambda reply: print(json.dumps(reply), file=replies))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        traceback.print_exc()
        first_line = next(iter(str(error).splitlines()), "")
        failure = {"error": f"{type(error).__name__}: {first_line}"}
        print(json.dumps(failure), file=replies)
        return 1
    return 0


def serve(requests: TextIO, reply: Callable[[dict[str, Any]], None]) -> None:
    trainer = make_trainer(json.loads(requests.readline()))
    reply({"versions": trainer.versions})
    for line in requests:
        match request := json.loads(line):
            case {"do": "step"}:
                reply(trainer.step())
            case {"do": "profile", "path": path}:
                trainer.profile(path)
                reply({})
            case {"do": "memory"}:
                reply({"peak_memory_bytes": peak_memory_bytes()})
            case _:
                raise ValueError(f"no such request: {request}")


def make_trainer(spec: dict[str, Any]) -> Trainer:
    name, model, train = spec["contender"], spec["model"], spec["train"]
    if name in TORCH_CONTENDERS:
        from gpt2_flax.bench.torch_trainer import TorchTrainer

        return TorchTrainer(name, model, train)
    from gpt2_flax.bench.jax_trainer import JaxTrainer

    return JaxTrainer(name, model, train)


def peak_memory_bytes() -> int:
    """Peak resident memory of this process alone.

    VmHWM counts from its exec. `ru_maxrss` would start at the peak of its parent, and
    serves where there is no /proc.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        status = ""
    if found := re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE):
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
