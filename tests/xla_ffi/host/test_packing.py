"""How often the host reads an operand, and what it writes: counted, not timed."""

import jax.numpy as jnp
import pytest

import jax_npu

# The size of a packed element: a word is two bf16 or one f32.
PACKED_BYTES = {"amx": 2, "avx512bf16": 2, "avx512": 4, "avx2": 4, "portable": 4}
# Whole panels of 16, whole tiles, and k of several passes over the result.
M, K, N = 96, 1536, 3168


@pytest.fixture
def bytes_of():
    """A function: the bytes packed, converted and copied by one product of ones."""

    def count(subscripts, sizes, dtype="float32"):
        lhs, rhs = (
            jnp.ones([sizes[c] for c in term], dtype)
            for term in subscripts.split("->")[0].split(",")
        )
        before = jax_npu.counters()
        jax_npu.einsum(
            subscripts, lhs, rhs, preferred_element_type=jnp.float32
        ).block_until_ready()
        counted = jax_npu.counters() - before
        return counted.packed_bytes, counted.converted_bytes, counted.copied_bytes

    return count


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2)])
@pytest.mark.parametrize("sizes", [(M, K, N), (N, K, M)], ids=["wide", "tall"])
@pytest.mark.parametrize("operands", ["mk,kn", "mk,nk", "km,kn", "km,nk"])
def test_each_element_is_packed_once_and_no_result_is_copied(
    isa, bytes_of, operands, sizes, dtype, size
):
    m, k, n = sizes
    each = size + PACKED_BYTES[isa]
    counted = bytes_of(f"{operands}->mn", {"m": m, "k": k, "n": n}, dtype)
    assert counted == ((m * k + k * n) * each, 0, 0)


def test_entries_of_a_batch_are_packed_once(isa, bytes_of):
    counted = bytes_of("bmk,bkn->bmn", {"b": 12, "m": 64, "k": 64, "n": 96})
    assert counted == (12 * (64 * 64 + 64 * 96) * (4 + PACKED_BYTES[isa]), 0, 0)


@pytest.mark.parametrize("operands", ["mk,kn", "mk,nk"])
def test_few_rows_read_the_matrix_where_it_lies(isa, bytes_of, operands):
    packed, converted, _ = bytes_of(f"{operands}->mn", {"m": 4, "k": 320, "n": 640})
    assert packed == 4 * 320 * 8  # the rows alone
    assert converted == 320 * 640 * 4
    packed, converted, _ = bytes_of(f"{operands}->mn", {"m": 640, "k": 320, "n": 3})
    assert packed == 3 * 320 * 8
    assert converted == 320 * 640 * 4
