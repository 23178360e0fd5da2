"""A run killed at any write of its beginning is resumed, or begun again."""

import os
import sys
from pathlib import Path

import pytest

from gpt2_flax import run
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.text_choice import tokenizer_of_run
from gpt2_flax.tokenizers import load_tokenizer
from gpt2_flax.training import start
from jax_npu.files import partial_files

CONFIG = TrainConfig(tokenizer="bytes", backend="xla")
RECORD = {
    "train": {},
    "model": {},
    "text_sha256": "",
    "tokenizer": load_tokenizer("bytes").fingerprint,
}
OLD = {**RECORD, "text_sha256": "another"}


class Beginning:
    """What `create_folder` reads of a training, without one."""

    def __init__(self, out):
        self.out, self.config = out, CONFIG
        self.tokenizer = load_tokenizer("bytes")


class NothingFrozen:
    frozen = None


def begin(out, record=RECORD, kill_at=None):
    """Creates the run folder; its process ends before the write of that number."""
    writes = 0

    def audit(event, args):
        nonlocal writes
        paths = [Path(arg) for arg in args if isinstance(arg, str | os.PathLike)]
        if any(path.is_relative_to(out) for path in paths):
            writes += 1
            if writes == kill_at:
                os._exit(9)

    if kill_at is not None:
        sys.addaudithook(audit)
    overwrite = run.find_run(out) is not None
    run.require_free(out, overwrite)
    start.create_folder(Beginning(out), NothingFrozen(), record, overwrite)


def begin_killed(out, kill_at):
    """The exit code of a process that is killed so."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            begin(out, kill_at=kill_at)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("overwrites", [False, True])
def test_killed_at_any_write_a_run_begins_again(overwrites, tmp_path):
    states = set()
    for kill_at in range(1, 200):
        out = tmp_path / str(kill_at)
        if overwrites:
            begin(out, OLD)
        if (code := begin_killed(out, kill_at)) == 0:
            break
        assert code == 9
        states.add(tuple(sorted(str(p.relative_to(out)) for p in out.rglob("*"))))
        if run.find_run(out) in (None, {"program": run.PROGRAM, **OLD}):
            begin(out)  # a run half deleted is still one to overwrite
        # The way of --resume before the first checkpoint.
        tokenizer = tokenizer_of_run(out, CONFIG)
        assert tokenizer.fingerprint == RECORD["tokenizer"]
        assert load_tokenizer(out).fingerprint == RECORD["tokenizer"]
        run.create_run(out, RECORD, overwrite=True)  # sweeps up what was left
        assert [p.name for p in out.iterdir()] == ["config.json"]
        assert not partial_files(out / "config.json")
    assert code == 0, "it never ended"
    assert len(states) > 5
