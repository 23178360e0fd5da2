"""Random changes of a custom call: of its attributes, its operands and its result."""

from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

from jax_npu.jax_private import hashable

BF16 = np.dtype(ml_dtypes.bfloat16)
F32 = np.dtype(np.float32)
DTYPES = (F32, BF16, np.dtype(np.uint32), np.dtype(np.int32), np.dtype(np.float16))
NUMBERS = (-1, 0, 1, 2, 3, 4, 7, 64, 4096, 1 << 31, 1 << 40, 1 << 62, -(1 << 63))
SIZES = (0, 1, 2, 3, 9, 70)  # of arrays


@dataclass(frozen=True)
class Array:
    shape: tuple[int, ...]
    dtype: np.dtype = F32


@dataclass(frozen=True)
class Call:
    """A program of one custom call."""

    target: str
    operands: tuple[Array, ...]
    result: Array
    attributes: dict[str, Any]


# Changes of attributes.


def change_a_number(rng, call):
    def change(value):
        array = np.array(unwrapped(value))
        if array.size == 0:
            return value
        place = rng.integers(array.size)
        old = int(array.flat[place])
        near = old + rng.integers(-2, 3)
        bounds = np.iinfo(array.dtype)
        new = near if rng.random() < 0.5 else NUMBERS[rng.integers(len(NUMBERS))]
        array.flat[place] = np.clip(new, bounds.min, bounds.max).astype(array.dtype)
        return wrapped(value, array)

    return changed(rng, call, change, is_integer)


def flip_bits(rng, call):
    """Flip some bits of instruction words."""

    def change(value):
        array = np.array(unwrapped(value))
        for place in rng.integers(array.size, size=rng.integers(1, 4)):
            array[place] ^= np.uint32(1 << rng.integers(32))
        return wrapped(value, array)

    return changed(rng, call, change, is_words)


def change_the_length(rng, call):
    def change(value):
        array = np.array(unwrapped(value))
        ways = (
            array[:-1],
            array[:0],
            np.concatenate([array, array]),
            np.concatenate([array, array[:1]]),
            rng.permutation(array),
        )
        return wrapped(value, ways[rng.integers(len(ways))])

    return changed(rng, call, change, lambda value: is_integer(value) and size(value))


def flip_a_boolean(rng, call):
    return changed(rng, call, lambda value: not value, lambda v: isinstance(v, bool))


def change_a_text(rng, call):
    texts = ("", "npu2", "off", "always", "bfp16", "../x", "0" * 5000, "\x01")
    return changed(
        rng,
        call,
        lambda value: texts[rng.integers(len(texts))],
        lambda value: isinstance(value, str),
    )


def change_a_type(rng, call):
    others = (np.float32(1), True, "text", np.int64(1), np.ones(2, np.int32))
    return changed(rng, call, lambda value: others[rng.integers(len(others))])


def exchange_two_attributes(rng, call):
    one, other = rng.choice(list(call.attributes), 2)
    swapped = {one: call.attributes[other], other: call.attributes[one]}
    return replace(call, attributes=call.attributes | swapped)


def drop_or_add_an_attribute(rng, call):
    made = dict(call.attributes)
    name = rng.choice(list(made))
    if rng.random() < 0.5:
        del made[name]
    else:
        made[f"{name}_"] = made[name]
    return replace(call, attributes=made)


# Changes of arrays.


def change_an_array(rng, call):
    def change(array):
        shape = list(array.shape)
        if shape and rng.random() < 0.8:
            shape[rng.integers(len(shape))] = int(rng.choice(SIZES))
        elif rng.random() < 0.5:
            shape.append(int(rng.choice(SIZES)))
        else:
            shape = shape[:-1]
        return replace(array, shape=tuple(shape))

    return with_array(rng, call, change)


def change_a_dtype(rng, call):
    dtype = DTYPES[rng.integers(len(DTYPES))]
    return with_array(rng, call, lambda array: replace(array, dtype=dtype))


def change_a_size_everywhere(rng, call):
    """Another product: a program on the host computes it, one on an NPU refuses."""
    arrays = (*call.operands, call.result)
    old = int(rng.choice([s for array in arrays for s in array.shape] or [1]))
    new = int(rng.choice(SIZES))

    def resized(array):
        return replace(array, shape=tuple(new if s == old else s for s in array.shape))

    return replace(
        call,
        operands=tuple(map(resized, call.operands)),
        result=resized(call.result),
    )


def change_the_number_of_operands(rng, call):
    operands = call.operands
    return replace(
        call, operands=operands[:-1] if rng.random() < 0.5 else operands + operands[:1]
    )


MUTATIONS = (
    *(change_a_number,) * 6,
    *(flip_bits,) * 3,
    *(change_the_length,) * 2,
    *(flip_a_boolean, change_a_text, change_a_type, exchange_two_attributes),
    *(drop_or_add_an_attribute, change_an_array, change_an_array, change_a_dtype),
    *(change_a_size_everywhere, change_the_number_of_operands),
)


def changed(rng, call, change, applies=lambda value: True):
    """The call with one attribute changed, if there is one to which that applies."""
    names = [
        (*above, name)
        for above, mapping in mappings(call.attributes)
        for name, value in mapping.items()
        if applies(value)
    ]
    if not names:
        return call
    path = names[rng.integers(len(names))]
    return replace(call, attributes=changed_at(call.attributes, path, change))


def mappings(mapping):
    yield (), mapping
    for name, value in mapping.items():
        if isinstance(value, dict):
            yield (name,), value


def changed_at(mapping, path, change):
    name, *below = path
    if below:
        return mapping | {name: changed_at(mapping[name], below, change)}
    return mapping | {name: change(mapping[name])}


def with_array(rng, call, change):
    index = rng.integers(len(call.operands) + 1)
    if index == len(call.operands):
        return replace(call, result=change(call.result))
    operands = list(call.operands)
    operands[index] = change(operands[index])
    return replace(call, operands=tuple(operands))


def is_integer(value):
    return np.asarray(unwrapped(value)).dtype.kind in "iu"


def is_words(value):
    array = np.asarray(unwrapped(value))
    return array.dtype == np.uint32 and array.size > 0


def size(value):
    return np.asarray(unwrapped(value)).ndim


def unwrapped(value):
    return value.val if hasattr(value, "val") else value


def wrapped(old, array):
    if hasattr(old, "val"):
        return hashable(array)
    return array if array.ndim else array.dtype.type(array)
