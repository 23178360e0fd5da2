"""The cache of tokens: found by content, whole or not there, whatever ends a writer."""

import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gpt2_flax.data import cache, load_text, writing
from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers import load_tokenizer

BYTES = load_tokenizer("bytes")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A cache of its own."""
    monkeypatch.setenv(cache.CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a text of some words\n" * 1000)
    return path


def load(path, tokenizer=BYTES):
    return load_text([str(path)], tokenizer).tokens


def test_a_text_is_tokenized_once_wherever_it_lies(root, path, tmp_path, monkeypatch):
    first = load(path)
    (tmp_path / "elsewhere").mkdir()
    copy = shutil.move(path, tmp_path / "elsewhere" / "b.md")
    monkeypatch.setattr(cache, "write_tokens", lambda *args: 1 / 0)
    assert load(copy).folder == first.folder
    np.testing.assert_array_equal(load(copy).tokens, first.tokens)


def test_another_text_or_tokenizer_has_tokens_of_its_own(root, path):
    folders = {load(path).folder, load(path, load_tokenizer("gpt2")).folder}
    path.write_text(path.read_text().replace("some", "more", 1))
    folders.add(load(path).folder)
    assert len(folders) == 3
    assert set(root.iterdir()) == folders


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "meta.json").unlink(),
        lambda folder: (folder / "meta.json").write_text("{"),
        lambda folder: (folder / "meta.json").write_text("{}"),
        lambda folder: os.truncate(folder / "tokens", 100),
        lambda folder: (folder / "tokens").unlink(),
        lambda folder: (folder / "starts.npy").write_bytes(b""),
    ],
    ids=[
        "no meta",
        "cut meta",
        "other meta",
        "cut tokens",
        "no tokens",
        "no starts",
    ],
)
def test_a_damaged_entry_is_made_again(root, path, damage):
    expected = load(path)
    tokens = np.array(expected.tokens)
    damage(expected.folder)
    again = load(path)
    np.testing.assert_array_equal(again.tokens, tokens)
    assert again.sha256 == expected.sha256


def test_an_error_leaves_nothing(root, path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing, "complete", full)
    with pytest.raises(OSError, match="No space left on device; set GPT2_FLAX_CACHE"):
        load(path)
    assert list(root.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_named(path, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.CACHE, str(path / "below a file"))
    with pytest.raises(OSError, match=r"cannot be kept in .*below a file"):
        load(path)


def test_a_writer_at_work_is_left_alone(root, path):
    with cache.partial_folder(make(root)) as busy:
        load(path)
        assert busy.is_dir()
        # As a process leaves it that is killed: a folder, and a lock that none holds.
        dead = root / cache.PARTIAL.format("dead")
        dead.mkdir()
        (root / cache.LOCK.format("dead")).touch()
        cache.delete_stale(root)
        assert not dead.exists()
        assert busy.is_dir()
    assert not busy.exists()


def make(root):
    root.mkdir()
    return root


def test_the_faster_of_two_writers_wins(root, path, monkeypatch):
    plain = cache.write_tokens

    def write_twice(*args):
        monkeypatch.setattr(cache, "write_tokens", plain)
        load(path)
        plain(*args)

    monkeypatch.setattr(cache, "write_tokens", write_twice)
    assert len(load(path).tokens) == path.stat().st_size
    assert len(list(root.iterdir())) == 1


# Forks writers, and kills each at a random moment of the time that one takes.
KILLER = """
import os, random, shutil, signal, sys, time
from gpt2_flax.data import encoding, load_text
from gpt2_flax.data.cache import tokens_root
from gpt2_flax.data.reading import text
from gpt2_flax.data.store import open_store
from gpt2_flax.tokenizers import load_tokenizer

encoding.PIECE_CHARS = text.PIECE_CHARS = 2000
path, tokenizer, root = sys.argv[1], load_tokenizer("bytes"), tokens_root()
start = time.monotonic()
expected = bytes(load_text([path], tokenizer).tokens.tokens.astype("uint8"))
seconds = time.monotonic() - start
assert expected == open(path, "rb").read()
rng = random.Random(0)
inside = 0
for _ in range(50):
    for folder in root.iterdir():
        if not folder.name.startswith("."):
            shutil.rmtree(folder)
    if not (pid := os.fork()):
        load_text([path], tokenizer)
        os._exit(0)
    time.sleep(rng.uniform(0, seconds))
    os.kill(pid, signal.SIGKILL)
    inside += os.waitpid(pid, 0)[1] == signal.SIGKILL
    entries = list(root.iterdir())
    assert len(entries) <= 3, entries  # a whole one, its writer's partial one and lock
    for folder in entries:
        whole = open_store(folder)
        if not folder.name.startswith("."):
            assert bytes(whole.tokens.astype("uint8")) == expected
assert bytes(load_text([path], tokenizer).tokens.tokens.astype("uint8")) == expected
print(inside)
"""


def test_kills_at_50_random_moments_leave_nothing_in_the_way(root, tmp_path):
    path = tmp_path / "big.txt"
    path.write_text("".join(f"line {i} of a text\n" for i in range(20_000)))
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10  # killed before they were done


def test_an_empty_text_names_its_files(root, tmp_path):
    (tmp_path / "a.txt").write_text("\n")
    with pytest.raises(InputError, match=r"a\.txt is empty"):
        load(tmp_path / "a.txt")


def test_meta_tells_what_a_run_needs(root, path):
    meta = json.loads((load(path).folder / "meta.json").read_text())
    assert meta["num_documents"] == 1
    assert meta["dtype"] == "uint16"
    assert meta["last"] - meta["first"] == path.stat().st_size
