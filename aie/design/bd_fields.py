"""The bits of a shim BD, and the access pattern that they describe."""

from collections.abc import Sequence

# Word, lowest bit, number of bits. AMD AM025, DMA_BD0_0 .. DMA_BD0_7 of the NoC
# module. Steps are stored less 1, and so is the iteration's wrap.
FIELDS = {
    "length": (0, 0, 32),
    "address_low": (1, 0, 32),
    "packet_enable": (2, 30, 1),
    "out_of_order_id": (2, 24, 6),
    "packet_id": (2, 19, 5),
    "packet_type": (2, 16, 3),
    "address_high": (2, 0, 16),
    "d0_wrap": (3, 20, 10),
    "d0_step": (3, 0, 20),
    "burst": (4, 30, 2),
    "d1_wrap": (4, 20, 10),
    "d1_step": (4, 0, 20),
    "axcache": (5, 24, 4),
    "d2_step": (5, 0, 20),
    "iteration_current": (6, 26, 6),
    "iteration_wrap": (6, 20, 6),
    "iteration_step": (6, 0, 20),
    "suppress_tlast": (7, 31, 1),
    "next_bd": (7, 27, 4),
    "use_next": (7, 26, 1),
    "valid": (7, 25, 1),
    "lock_release_value": (7, 18, 7),
    "lock_release_id": (7, 13, 4),
    "lock_acquire_enable": (7, 12, 1),
    "lock_acquire_value": (7, 5, 7),
    "lock_acquire_id": (7, 0, 4),
}


def unpack(words: Sequence[int]) -> dict[str, int]:
    """The `FIELDS` of a BD's 8 words."""
    return {
        name: words[word] >> shift & (1 << bits) - 1
        for name, (word, shift, bits) in FIELDS.items()
    }


def pattern(fields: dict[str, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes and strides of a BD, with its iterations outermost, in canonical form."""
    length, d0, d1 = (fields[name] for name in ("length", "d0_wrap", "d1_wrap"))
    inner = (1, 1, length)
    if d0:
        inner = (-(-length // (d0 * max(d1, 1))), max(d1, 1), d0)
    sizes = (fields["iteration_wrap"] + 1, *inner)
    steps = (fields[f"{name}_step"] + 1 for name in ("iteration", "d2", "d1", "d0"))
    strides = [step if size > 1 else 0 for size, step in zip(sizes, steps)]
    return sizes, (*strides[:3], fields["d0_step"] + 1)
