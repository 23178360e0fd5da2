"""A file is the old one or the new one, whatever happens to its writers."""

import os
import threading

import pytest

from gpt2_flax import run
from jax_npu.files import partial_files, write_atomically, write_file


def test_a_writer_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    write_file(path, b"old")

    def fail(partial):
        partial.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_the_mode_of_the_umask(tmp_path):
    path = tmp_path / "file"
    before = os.umask(0o027)
    try:
        write_atomically(path, lambda partial: partial.touch(0o600))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_writers_at_the_same_time_do_not_meet(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([i]) * 100_000 for i in range(8)]
    threads = [threading.Thread(target=write_file, args=(path, c)) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_that_is_overwritten_loses_what_killed_writers_left(tmp_path):
    out = tmp_path / "run"
    record = {"train": {}, "model": {}, "text_sha256": ""}
    run.create_run(out, record, overwrite=False)
    left = out / ".metrics.jsonl.0123abcd.partial"
    left.write_text("half")
    assert partial_files(out / "metrics.jsonl") == [left]
    run.create_run(out, record, overwrite=True)
    assert not left.exists()
