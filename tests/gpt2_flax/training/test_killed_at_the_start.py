"""A run killed at any write of its beginning is resumed, or begun again."""

import os
import shutil
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


def begin(out, record=RECORD):
    overwrite = run.find_run(out) is not None
    run.require_free(out, overwrite)
    start.create_folder(Beginning(out), NothingFrozen(), record, overwrite)


def states_at_each_write(out, copies):
    """Copies of `out` as a process leaves it that is killed before each operation."""
    made, watching = [], True

    def audit(event, args):
        nonlocal watching
        paths = [arg for arg in args if watching and isinstance(arg, str | os.PathLike)]
        if any(Path(path).is_relative_to(out) for path in paths):
            watching = False  # while it is copied
            made.append(copies / str(len(made)))
            if out.exists():
                shutil.copytree(out, made[-1])
            watching = True

    sys.addaudithook(audit)
    try:
        begin(out)
    finally:
        watching = False  # a hook cannot be taken away
    return made


@pytest.mark.parametrize("overwrites", [False, True])
def test_killed_at_any_write_a_run_begins_again(overwrites, tmp_path):
    if overwrites:
        begin(tmp_path / "run", OLD)
    states = states_at_each_write(tmp_path / "run", tmp_path / "killed")
    files = set()
    for out in states:
        files.add(tuple(sorted(str(p.relative_to(out)) for p in out.rglob("*"))))
        if run.find_run(out) in (None, {"program": run.PROGRAM, **OLD}):
            begin(out)  # a run half deleted is still one to overwrite
        # The way of --resume before the first checkpoint.
        tokenizer = tokenizer_of_run(out, CONFIG)
        assert tokenizer.fingerprint == RECORD["tokenizer"]
        assert load_tokenizer(out).fingerprint == RECORD["tokenizer"]
        run.create_run(out, RECORD, overwrite=True)  # sweeps up what was left
        assert [p.name for p in out.iterdir()] == ["config.json"]
        assert not partial_files(out / "config.json")
    assert len(files) > 5
