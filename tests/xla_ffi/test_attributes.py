"""One contract: both sides agree on every attribute's name and type, or the call fails.

A call decodes exactly the attributes that it declares, by name. So that the unchanged
ones pass and each change is refused means that the names and types are the same.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from jax_npu.jax_private import hashable
from jax_npu.lowering import attributes, packing
from jax_npu.lowering.value_numbers import value_number

from . import npu_call

SHAPES = {  # of lhs and rhs
    "host": ((2, 3), (3, 5)),
    "pack": ((17, 3), (3, 20)),
}


def host_attributes():
    return attributes.product_attributes(npu_call.MATMUL, [(0, 0)])


def call_host(**changed):
    lhs, rhs = SHAPES["host"]
    result = jax.ShapeDtypeStruct((lhs[0], rhs[1]), jnp.float32)
    operands = (
        jnp.arange(np.prod(shape), dtype="f4").reshape(shape) for shape in (lhs, rhs)
    )
    return npu_call.call("xdna_gemm_host", result, *operands, **changed)


def pack_attributes():
    return attributes.pack_attributes(npu_call.MATMUL, True, SHAPES["pack"][1])


def call_pack(**changed):
    lhs, _ = SHAPES["pack"]
    words = packing._packed_words(*lhs)
    result = jax.ShapeDtypeStruct((words,), jnp.uint32)
    return npu_call.call("xdna_pack_host", result, jnp.ones(lhs), **changed)


def call_npu(**changed):
    ones = jnp.ones(npu_call.SHAPE)
    result = jax.ShapeDtypeStruct(npu_call.SHAPE, jnp.float32)
    numbers = [value_number(ones)] * 2
    return npu_call.call(npu_call.TARGET, result, ones, ones, *numbers, **changed)


# How each target is called, and the attributes that it takes.
CALLS = {
    "xdna_gemm_host": (call_host, host_attributes),
    "xdna_pack_host": (call_pack, pack_attributes),
    npu_call.TARGET: (call_npu, npu_call.npu_gemm_attributes),
}


def paths(mapping, above=()):
    """The path to every attribute, nested ones too."""
    for name, value in mapping.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from paths(value, (*above, name))


EVERY_ATTRIBUTE = [
    pytest.param(target, path, id=f"{target}-{'.'.join(path)}")
    for target, (_, make) in CALLS.items()
    for path in paths(make())
]


def changed(mapping, path, change):
    """A copy in which `change` was applied to the mapping that holds the attribute."""
    mapping = dict(mapping)
    if len(path) == 1:
        change(mapping, path[0])
    else:
        mapping[path[0]] = changed(mapping[path[0]], path[1:], change)
    return mapping


def rename(mapping, name):
    mapping[f"{name}_"] = mapping.pop(name)


def remove(mapping, name):
    del mapping[name]


def add_another(mapping, name):
    mapping[f"{name}_"] = mapping[name]


def change_type(mapping, name):
    if isinstance(mapping[name], np.ndarray | type(hashable(np.ones(1)))):
        mapping[name] = np.float32(1)
    else:
        mapping[name] = hashable(np.ones(3, np.float32))


@pytest.mark.parametrize("change", [rename, remove, add_another, change_type])
@pytest.mark.parametrize(("target", "path"), EVERY_ATTRIBUTE)
def test_every_attribute_is_needed_by_its_name_and_type(target, path, change):
    call, make = CALLS[target]
    with pytest.raises(Exception, match=r"[Aa]ttribute"):
        call(**changed(make(), path, change))


@pytest.mark.parametrize("target", CALLS)
def test_unchanged_attributes_are_taken(target):
    if target == npu_call.TARGET and not jax_npu.backends()["sim"].available:
        pytest.skip("sim cannot run here")
    call, make = CALLS[target]
    call(**make())


def exchange(mapping, one, other):
    return mapping | {one: mapping[other], other: mapping[one]}


def test_one_set_of_attributes_serves_every_size():
    made = host_attributes()
    for m, k, n in [(2, 3, 5), (1, 70, 9), (33, 1, 4), (0, 2, 3), (2, 0, 3)]:
        lhs, rhs = (
            np.arange(np.prod(shape), dtype="f4").reshape(shape) % 8
            for shape in ((m, k), (k, n))
        )
        result = jax.ShapeDtypeStruct((m, n), jnp.float32)
        out = npu_call.call("xdna_gemm_host", result, lhs, rhs, **made)
        np.testing.assert_array_equal(out, lhs @ rhs)


@pytest.mark.parametrize(
    ("one", "other"), [("lhs", "rhs"), ("lhs", "out"), ("rhs", "out")]
)
def test_labels_that_do_not_fit_the_arrays_are_refused(one, other):
    """They have one type, so that nothing but the name tells them apart."""
    right = call_host(**host_attributes())
    lhs, rhs = (np.arange(np.prod(s)).reshape(s) for s in SHAPES["host"])
    np.testing.assert_array_equal(right, lhs @ rhs)
    with pytest.raises(Exception, match=r"xdna_gemm_host: label \d has size"):
        call_host(**exchange(host_attributes(), one, other))


def test_an_operand_without_elements_is_packed_to_nothing():
    made = attributes.pack_attributes(npu_call.MATMUL, True, (1 << 30, 3))
    result = jax.ShapeDtypeStruct((0,), jnp.uint32)
    operand = jnp.zeros((0, 1 << 30))  # nobody may list its columns
    assert npu_call.call("xdna_pack_host", result, operand, **made).size == 0


PACKED = jnp.zeros(16, jnp.uint32)


@pytest.mark.parametrize(
    ("operands", "out", "changes", "message"),
    [
        ((PACKED, PACKED), jnp.float32, {}, "both operands are packed"),
        ((PACKED, jnp.ones((3, 5))), jnp.float32, {}, "a packed operand needs .* got"),
        (
            (PACKED, jnp.ones((3, 5))),
            jnp.float32,
            {"lhs_parts": np.array([1]), "rhs_parts": np.array([0])},
            "a packed operand has the first part of values alone",
        ),
        ((jnp.ones((2, 3), "i4"), jnp.ones((3, 5))), jnp.float32, {}, "must be float"),
        ((jnp.ones((2, 3)), jnp.ones((3, 5))), jnp.uint32, {}, "must be float32"),
        (
            (jnp.ones((2, 3)), jnp.ones((3, 5))),
            jnp.float32,
            {"lhs_parts": np.array([3]), "rhs_parts": np.array([0])},
            "a part must be 0, 1 or 2, got 3",
        ),
        (
            (jnp.ones((2, 3)), jnp.ones((3, 5))),
            jnp.float32,
            {"lhs_parts": np.array([0, 1])},
            "equally many, from 1 to 9, got 2 and 1",
        ),
    ],
)
def test_arrays_and_parts_that_do_not_fit_are_refused(operands, out, changes, message):
    result = jax.ShapeDtypeStruct((2, 5), out)
    with pytest.raises(Exception, match=f"xdna_gemm_host: .*{message}"):
        npu_call.call(
            "xdna_gemm_host", result, *operands, **host_attributes() | changes
        )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("run_starts", "words"),
        ("run_grids", "run_num_words"),
        ("block_m", "swapped"),
    ],
)
@pytest.mark.parametrize("plan", ["plan", "self_test"])
def test_numbers_of_a_plan_in_each_others_place_are_refused(plan, one, other):
    made = npu_call.npu_gemm_attributes() | {"check": "first"}
    with pytest.raises(Exception, match=npu_call.TARGET):
        call_npu(**made | {plan: exchange(made[plan], one, other)})
