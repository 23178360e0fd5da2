"""The order of samples: permutations that each step can compute by itself."""

import numpy as np
import pytest

from gpt2_flax.data.order import epoch_starts, permute


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 17, 1000, 4097])
def test_every_index_has_its_own_place(count):
    found = permute(np.arange(count), count, (3, 1))
    assert sorted(found) == list(range(count))


def test_permutations_differ_by_key_and_have_no_pattern():
    places = [
        permute(np.arange(5000), 5000, (seed, e)) for seed in (0, 1) for e in (0, 1)
    ]
    for i, one in enumerate([np.arange(5000), *places]):
        for other in places[i:]:
            # Two unrelated permutations have, for one index on average, the same place.
            assert np.sum(one == other) < 10
            # The deviation of a correlation of 5000 unrelated pairs is 0.014.
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.07


def test_all_permutations_of_few_are_about_as_frequent():
    found = [tuple(permute(np.arange(3), 3, (seed, 0))) for seed in range(3000)]
    counts = np.array([found.count(one) for one in set(found)])
    assert len(counts) == 6
    # In 3000 draws among 6, each has 500 with a deviation of 20.
    assert np.all(abs(counts - 500) < 100)


@pytest.mark.parametrize(("total", "stride"), [(1000, 8), (1003, 8), (7, 7), (50, 64)])
def test_every_unit_is_seen_once_in_each_pass(total, stride):
    num = 3 * total  # samples: stride x 3 whole passes
    starts = epoch_starts(np.arange(num), total, stride, seed=5)
    seen = np.bincount(((starts[:, None] + np.arange(stride)) % total).ravel())
    assert np.all(seen == 3 * stride)


def test_an_epoch_shows_every_unit_before_the_next_begins():
    total, stride = 1003, 8
    in_epoch = -(-total // stride)
    starts = epoch_starts(np.arange(in_epoch), total, stride, seed=5)
    seen = np.bincount(((starts[:, None] + np.arange(stride)) % total).ravel())
    # The last window goes on at the beginning, with what the next epoch then leaves.
    assert set(seen) == {1, 2}
    assert np.sum(seen == 2) == in_epoch * stride - total
    assert np.sum(np.diff(starts) == stride) < 5  # shuffled


def test_a_sample_depends_on_its_number_and_the_seed_only():
    whole = epoch_starts(np.arange(500), 777, 10, seed=3)
    parts = [
        epoch_starts(np.arange(g, g + 5), 777, 10, seed=3) for g in range(0, 500, 5)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert np.any(whole != epoch_starts(np.arange(500), 777, 10, seed=4))
