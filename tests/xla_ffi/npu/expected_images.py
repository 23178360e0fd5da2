"""The images that packing must make, with NumPy, from the definition of a plan."""

import ml_dtypes
import numpy as np

BF16 = ml_dtypes.bfloat16
F32 = np.float32
SIZES = {"a": 3, "b": 5, "c": 6, "d": 2, "k": 37, "l": 3, "m": 70, "n": 81, "z": 1}


def part_of(x, part):
    """The bf16 part of f32 values, as precision.py defines it."""
    first = x.astype(BF16)
    if part == 0:
        return first
    with np.errstate(invalid="ignore", over="ignore"):
        rest = part_of((x - first.astype(F32)).astype(F32), part - 1)
    return np.where(np.isfinite(first.astype(F32)), rest, BF16(0))


def passes_of(x, parts, axis):
    """The parts of `x` one after the other along k, those of lower products finite."""
    whole = []
    for part, is_lower in parts:
        value = part_of(x.astype(F32), part)
        if is_lower:
            value = np.where(np.isfinite(value.astype(F32)), value, BF16(0))
        whole.append(value)
    return np.concatenate(whole, axis=axis)


def roles(spec):
    """The labels of batch, m, k and n."""
    lhs, rhs, out = spec
    return (
        [c for c in out if c in lhs and c in rhs],
        [c for c in out if c not in rhs],
        [c for c in lhs if c not in out],
        [c for c in out if c not in lhs],
    )


def matrices(spec, lhs, rhs):
    """The operands as (batch, m, k) and (batch, k, n)."""
    batch, m, k, n = roles(spec)

    def gathered(x, labels, groups):
        sizes = [int(np.prod([SIZES[c] for c in group])) for group in groups]
        order = [labels.index(c) for group in groups for c in group]
        return x.transpose(order).reshape(sizes)

    return gathered(lhs, spec.lhs, (batch, m, k)), gathered(
        rhs, spec.rhs, (batch, k, n)
    )


def ordered(spec, c):
    """(batch, m, n) as the result lies."""
    batch, m, _, n = roles(spec)
    labels = [*batch, *m, *n]
    c = c.reshape([SIZES[label] for label in labels])
    return c.transpose([labels.index(label) for label in spec.out])


def window(x, axis, block, multiple, batches, blocks):
    """The (first, count) batch entries and blocks along `axis`, padded by zeros.

    The size is a multiple, at most that of the blocks.
    """
    (first_batch, num_batches), (first, count) = batches, blocks
    x = x[first_batch : first_batch + num_batches]
    x = np.take(
        x, range(first * block, min((first + count) * block, x.shape[axis])), axis
    )
    padding = [(0, 0)] * 3
    stored = min(-(-x.shape[axis] // multiple) * multiple, count * block)
    padding[axis] = (0, stored - x.shape[axis])
    return np.pad(x, padding)


def expected_images(plan, run, a, b):
    """Images of A (batch, m, k) and B (batch, k, n), both with all passes along k."""
    array = plan.array
    batch, row, column = zip(run.start, run.grid)
    multiples = array.block_m, array.block_n
    if array.is_tiled:
        multiples = array.slice_k, array.slice_k
    a = window(a, 1, array.block_m, multiples[0], batch, row)
    b = window(b, 2, array.block_n, multiples[1], batch, column)
    long = plan.padded_k - a.shape[2]
    a = np.pad(a, ((0, 0), (0, 0), (0, long)))
    b = np.pad(b, ((0, 0), (0, long), (0, 0)))
    if not array.is_tiled:
        return a, b.swapaxes(1, 2) if array.b_column_major else b
    a_order, b_order = plan.orders
    return (
        in_tiles(a.swapaxes(1, 2) if a_order == "km" else a),
        in_tiles(b.swapaxes(1, 2) if b_order == "nk" else b),
    )


def in_tiles(x):
    """(batch, rows, columns) as (batch, rows/16, columns/16, 2, 2, 8, 8)."""
    batch, rows, columns = x.shape
    x = x.reshape(batch, rows // 16, 2, 8, columns // 16, 2, 8)
    return np.einsum("zRrxCcy->zRCrcxy", x)


def assert_same(actual, expected):
    """The same bits, but that NaNs are alike and denormals may be 0; then zeros."""
    expected = np.ascontiguousarray(expected)
    actual, past_end = np.split(actual.view(BF16), [expected.size])
    assert not past_end.view(np.uint16).any()
    actual = actual.reshape(expected.shape)
    as_f32 = actual.astype(F32), expected.astype(F32)
    tiny = np.abs(as_f32[1]) < 2.0**-126
    same = (actual.view(np.uint16) == expected.view(np.uint16)) | (
        np.isnan(as_f32[0]) & np.isnan(as_f32[1])
    )
    assert (same | (tiny & (as_f32[0] == 0))).all()
