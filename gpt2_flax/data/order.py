"""The order of samples: epochs, each a permutation that needs no memory.

Sample g of a run depends only on g and the seed, so that a run resumes at any step.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
ROUNDS = 8  # of the Feistel network; four already make a pseudorandom permutation
# Constants of the mixer of SplitMix64 (Steele, Lea and Flood, 2014).
MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def epoch_starts(g: Ints, total: int, stride: int, seed: int) -> Ints:
    """Where the samples g (B,) start, in 0 to total - 1.

    The samples of all epochs lie end to end, `stride` each, over and over the `total`
    units, so that each unit is seen once in every `total`. An epoch has those that
    start in one pass, shuffled.
    """
    starts = np.empty_like(g)
    epochs = g * stride // total
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        first = first_sample(int(epoch), total, stride)
        count = first_sample(int(epoch) + 1, total, stride) - first
        shuffled = permute(g[chosen] - first, count, (seed, int(epoch)))
        starts[chosen] = (first + shuffled) * stride % total
    return starts


def first_sample(epoch: int, total: int, stride: int) -> int:
    return -(-epoch * total // stride)


def permute(indices: Ints, count: int, key: tuple[int, ...]) -> Ints:
    """Where a permutation of 0 to count - 1, chosen by `key`, takes the indices.

    A balanced Feistel network permutes a power of four; a result of `count` or more is
    permuted again until it is less (Black and Rogaway, 2002: cycle walking).
    """
    half_bits = max(1, (max(count - 1, 1).bit_length() + 1) // 2)
    words = np.random.SeedSequence(key).generate_state(ROUNDS, np.uint64)
    keys = words.astype(np.uint64)
    found = feistel(indices.astype(np.uint64), half_bits, keys)
    while (outside := found >= count).any():
        found[outside] = feistel(found[outside], half_bits, keys)
    return found.astype(np.int64)


def feistel(
    x: NDArray[np.uint64], half_bits: int, keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    bits, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = x >> bits, x & mask
    for key in keys:
        left, right = right, left ^ (mixed(right + key) & mask)
    return (left << bits) | right


def mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * MIX[0]
    x = (x ^ (x >> np.uint64(27))) * MIX[1]
    return x ^ (x >> np.uint64(31))
