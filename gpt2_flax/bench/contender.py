"""A contender of the benchmark: a process of its own, asked for one step at a time.

Its peak memory, its compilation and its allocator are thus its own. It reads requests
as lines of JSON on stdin, and answers each with a line of JSON on stdout:

    {"contender": ..., "model": ..., "train": ...}  -> {"versions": {...}}
    {"do": "step"}     -> {"seconds": ..., "loss": ..., "counters": {...} or null}
    {"do": "profile", "path": ...} -> {}
    {"do": "memory"}   -> {"peak_memory_bytes": ...}

or with {"error": "one line"}. It exits when its stdin ends. Any program that speaks
this protocol can be a contender: `--against name=command`.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from typing import Any

from gpt2_flax.bench.worker import TORCH_CONTENDERS
from gpt2_flax.errors import InputError
from jax_npu.runtime.environment import SIM_PACED
from jax_npu.runtime.target import PACED

TORCH_PACKAGES = ("torch", "transformers")
END_SECONDS = 10  # for a process to exit by itself before it is killed


def require_contender(name: str) -> None:
    """Checks that what the contender needs is installed.

    Raises:
      InputError: it needs PyTorch, which is not.
    """
    missing = [package for package in TORCH_PACKAGES if find_spec(package) is None]
    if name in TORCH_CONTENDERS and missing:
        raise InputError(
            f"contender {name} needs {' and '.join(missing)}, which is not installed: "
            "pip install 'jax-npu[bench]', or leave it out of --against."
        )


def environment_of(name: str) -> dict[str, str]:
    """The variables of a contender's process: one alone has a virtual NPU of pace."""
    return {**os.environ, SIM_PACED.name: "1" if name == PACED else "0"}


class Contender:
    """Context manager of the process, which ends at its exit, even in a step."""

    def __init__(self, name: str) -> None:
        self.name, _, command = name.partition("=")
        worker = [sys.executable, "-m", "gpt2_flax.bench.worker"]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, closed at the exit
        try:
            self._process = subprocess.Popen(
                shlex.split(command) if command else worker,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env=environment_of(self.name),
            )
        except (OSError, ValueError) as e:
            self._errors.close()
            raise InputError(f"contender {self.name} does not start: {e}") from None

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Sends a request and waits for the reply.

        Raises:
          InputError: the contender replied with an error, not in JSON, or not at all.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise InputError(f"contender {self.name} {self._how_it_ended()}")
        try:
            reply: dict[str, Any] = json.loads(line)
        except ValueError:
            raise InputError(
                f"contender {self.name} must answer in JSON, got {line.strip()!r}"
            ) from None
        if "error" in reply:
            raise InputError(f"contender {self.name} failed: {reply['error']}")
        return reply

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        hint = "; out of memory?" if code == -9 else ""
        return how + hint + (f": {last.strip()}" if last else "")

    def __enter__(self) -> "Contender":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        finally:
            self._errors.close()
