"""The cache of images, asked by many threads at once, under the thread sanitizer."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NUM_THREADS, NUM_ASKS, NUM_KEYS = 8, 200, 20


@pytest.fixture(scope="session")
def cache_main(tmp_path_factory):
    program = tmp_path_factory.mktemp("cache") / "cache_main"
    flags = ["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]
    flags += ["-fsanitize=thread", "-I", ROOT]
    sources = (
        ROOT / "xla_ffi/npu/images/image_cache.cc",
        __file__.replace("test_image_cache.py", "cache_main.cc"),
    )
    subprocess.run(["g++", *flags, *sources, "-o", program], check=True)
    return program


def counts(program, num_keys, max_images, chance=0, seed=0):
    # A sanitizer's runtime may be preloaded, and this program has its own.
    clean = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    arguments = map(str, (NUM_ASKS, num_keys, max_images, chance, seed))
    done = subprocess.run(
        [program, *arguments], env=clean, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_threads_that_ask_at_once_share_one_image(cache_main):
    found = counts(cache_main, NUM_KEYS, max_images=NUM_KEYS)
    assert found == {"made": NUM_KEYS, "failed": 0, "kept": NUM_KEYS}


def test_a_size_of_zero_keeps_nothing(cache_main):
    found = counts(cache_main, NUM_KEYS, max_images=0)
    assert found == {"made": NUM_THREADS * NUM_ASKS, "failed": 0, "kept": 0}


def test_images_that_do_not_fit_are_made_again(cache_main):
    found = counts(cache_main, NUM_KEYS, max_images=NUM_KEYS // 2)
    assert NUM_KEYS < found["made"] < NUM_THREADS * NUM_ASKS
    assert found["kept"] <= NUM_KEYS // 2


@pytest.mark.parametrize("seed", range(3))
def test_failures_and_resets_neither_hang_nor_spread(cache_main, seed):
    """Who waits for an image whose maker fails makes it."""
    found = counts(cache_main, NUM_KEYS, NUM_KEYS, chance=10, seed=seed)
    assert 0 < found["failed"] < found["made"]
