"""The training step as XLA compiles it, read from its optimised HLO."""

import math
import re
from dataclasses import replace
from typing import NamedTuple

import jax
import pytest

import jax_npu
from gpt2_flax.model import init_params, logits_function
from gpt2_flax.training.optimizer import make_optimizer
from gpt2_flax.training.schedule import make_schedule
from gpt2_flax.training.step import State, initial_state, make_train_step

from ...emitters import AS_USERS_HAVE_THEM

# Forward: qkv, scores, context, two projections, fc. Backward: two for each of them.
GEMMS_PER_LAYER = 3 * 6
GEMMS_OF_HEAD = 3

# How often a step writes an array of a matrix's size, beside the update of the matrix
# and its moments: its gradient. The embedding's is written by the head, then with the
# tokens' rows.
WRITES, WRITES_OF_EMBEDDING = 1, 2


@pytest.fixture
def compile_step(config, tokens, kept):
    """The HLO text of the step of a model that uses the given `dot_general`."""

    def compile_with(dot_general, config=config):
        key = (jax_npu.resolve_backend(), config, dot_general)
        if key not in kept:
            kept[key] = compiled(config, tokens, initial_state, dot_general).as_text()
        return kept[key]

    return compile_with


@pytest.fixture
def wide(config):
    """A model so wide that XLA sums the squares of a matrix without writing them."""
    return replace(config, num_layers=1, embed_dim=96)


def compiled(config, tokens, state_of, dot_general=jax_npu.dot_general):
    optimizer = make_optimizer(make_schedule(1e-3, 2, 10), 0.1, 1.0)
    step = make_train_step(logits_function(config, dot_general), optimizer)
    state = state_of(init_params(config, 0), optimizer)
    return step.lower(state, tokens).compile(AS_USERS_HAVE_THEM)


def test_every_dot_is_a_custom_call(config, compile_step, custom_call_backend):
    hlo = parse(compile_step(jax_npu.dot_general))
    assert not [i for i in hlo.values() if i.opcode == "dot"]
    assert len(gemms(hlo)) == GEMMS_PER_LAYER * config.num_layers + GEMMS_OF_HEAD


def test_xla_has_no_custom_call(config, compile_step):
    with jax_npu.backend("xla"):
        text = compile_step(jax_npu.dot_general)
    assert "xdna_" not in text
    dots = [i for i in parse(text).values() if i.opcode == "dot"]
    assert len(dots) == GEMMS_PER_LAYER * config.num_layers + GEMMS_OF_HEAD


def test_no_operand_is_a_transposed_copy(compile_step, custom_call_backend):
    hlo = parse(compile_step(jax_npu.dot_general))
    assert transposed_operands(hlo) == []


def test_a_transposed_copy_would_be_found(compile_step, custom_call_backend):
    def transposing(lhs, rhs, dimension_numbers, **options):
        ((lhs_contract, (c,)), (lhs_batch, rhs_batch)) = dimension_numbers
        if not rhs_batch and c == 0:
            rhs, c = jax.lax.optimization_barrier(rhs.swapaxes(0, 1)), 1
        numbers = ((lhs_contract, (c,)), (lhs_batch, rhs_batch))
        return jax_npu.dot_general(lhs, rhs, numbers, **options)

    hlo = parse(compile_step(transposing_but_for_attention(transposing)))
    assert transposed_operands(hlo)


def transposing_but_for_attention(transposing):
    def dot_general(lhs, rhs, dimension_numbers, **options):
        is_plain = len(dimension_numbers[0][0]) == 1
        chosen = transposing if is_plain else jax_npu.dot_general
        return chosen(lhs, rhs, dimension_numbers, **options)

    return dot_general


def test_all_that_a_step_changes_is_overwritten_in_place(config, tokens, backend):
    text = compiled(config, tokens, initial_state).as_text().splitlines()[0]
    aliases = re.findall(r"\{(\d+)\}: \((\d+), \{\}", text)
    num_params = len(jax.tree.leaves(init_params(config, 0)))
    # parameters, two moments and gradients; the step counts of AdamW and its schedule
    assert aliases == [(str(i),) * 2 for i in range(4 * num_params + 2)]


def test_gradients_take_the_memory_of_the_last_ones(wide, tokens, backend):
    def without_gradients(params, optimizer):
        return State(params, optimizer.init(params))

    kept, fresh = (
        compiled(wide, tokens, state_of).memory_analysis().temp_size_in_bytes
        for state_of in (initial_state, without_gradients)
    )
    params = jax.tree.leaves(init_params(wide, 0))
    largest = max(p.nbytes for p in params)
    assert fresh - kept > sum(p.nbytes for p in params) - largest


def test_gradients_are_written_once_and_all_else_in_one_call_of_each_parameter(
    wide, compile_step, backend
):
    text = compile_step(jax_npu.dot_general, wide)
    hlo, c = parse(text), wide.embed_dim
    writes = {size: written(hlo, size) for size in (c * 3 * c, c * 4 * c)}
    assert len(writes[c * 3 * c]) == WRITES  # qkv
    assert len(writes[c * 4 * c]) == 2 * WRITES  # fc and the projection behind it
    assert len(written(hlo, wide.vocab_size * c)) == WRITES_OF_EMBEDDING
    updates = re.findall(r"= \(f32\[([\d,]*)\].*_target=\"jax_npu_adamw\"", text)
    shapes = [p.shape for p in jax.tree.leaves(init_params(wide, 0))]
    assert sorted(map(integers, updates)) == sorted(shapes)


def test_rows_of_tokens_are_added_to_the_heads_gradient(wide, compile_step, backend):
    hlo = parse(compile_step(jax_npu.dot_general, wide))
    size = wide.vocab_size * wide.embed_dim
    written_by_scatter = re.compile("calls=%\\S*scatter")
    (scatter,) = filter(lambda i: written_by_scatter.search(i.line), written(hlo, size))
    made = [
        hlo[name] for name in scatter.operands if math.prod(hlo[name].shape) == size
    ]
    assert ["dot_general" in i.line or "xdna_" in i.line for i in made] == [True]


def test_logits_are_written_once_and_their_gradient_once_in_bf16(
    config, tokens, compile_step, custom_call_backend
):
    hlo = parse(compile_step(jax_npu.dot_general))
    b, t = tokens.shape
    logits, gradient = written(hlo, b * (t - 1) * config.vocab_size)
    assert "xdna_gemm" in logits.line
    assert " = bf16[" in gradient.line


def test_xla_writes_nothing_else_logits_sized_but_what_its_dots_need(
    config, tokens, compile_step
):
    with jax_npu.backend("xla"):
        hlo = parse(compile_step(jax_npu.dot_general))
    b, t = tokens.shape
    # logits, their exponentials, and the gradient in both orientations
    assert len(written(hlo, b * (t - 1) * config.vocab_size)) == 4


def test_with_bf16_activations_products_read_f32_only_from_the_residual_stream(
    config, compile_step, custom_call_backend
):
    bf16 = replace(config, activations="bf16")
    hlo = parse(compile_step(jax_npu.dot_general, bf16))
    f32 = {
        name
        for gemm in gemms(hlo)
        for name, dtype in zip(
            gemm.operands, re.findall(r"(\w+)\[[\d,]*\]\{", operands(gemm))
        )
        if dtype == "f32"
        and hlo[name].opcode != "parameter"
        and not is_carrier(hlo[name])
    }
    # the gradient of the residual stream at each of the two projections of a layer
    assert len(f32) == 2 * config.num_layers


def test_what_only_products_read_is_written_as_bf16_where_it_is_computed(
    config, compile_step, custom_call_backend
):
    hlo = parse(compile_step(jax_npu.dot_general))
    made_by_a_fusion = [
        hlo[name]
        for gemm in gemms(hlo)
        for name in gemm.operands
        if re.search(r"= bf16\[.* fusion\(", hlo[name].line)
    ]
    # In a layer: both norms, gelu and the gradient of the scores, each read by two
    # products. Besides: the last norm and the gradient of the logits.
    assert len(made_by_a_fusion) == 2 * (4 * config.num_layers + 2)
    assert not [i for i in hlo.values() if "wrapped_convert" in i.line]


def operands(gemm):
    return re.search(r"operand_layout_constraints=\{(.*?\})\}", gemm.line)[1]


class Instruction(NamedTuple):
    opcode: str
    shape: tuple[int, ...]
    major_to_minor: tuple[int, ...]
    operands: tuple[str, ...]
    computation: str
    line: str


def parse(text: str) -> dict[str, Instruction]:
    """Array instructions by name."""
    found, computation = {}, ""
    for line in text.splitlines():
        if header := re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            computation = header[1]
        match = re.match(
            r"\s+(?:ROOT )?%?([\w.\-]+) = \w+\[([\d,]*)\](?:\{([\d,]*)[^}]*\})? "
            r"([\w\-]+)\(([^)]*)\)",
            line,
        )
        if match:
            name, shape, layout, opcode, operands = match.groups()
            found[name] = Instruction(
                opcode,
                integers(shape),
                integers(layout or "")[::-1],
                tuple(re.findall(r"%([\w.\-]+)", operands)),
                computation,
                line,
            )
    return found


def integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


def written(hlo: dict[str, Instruction], size: int) -> list[Instruction]:
    """The instructions outside of fusions that write `size` elements."""
    entry = hlo[next(name for name in hlo if name.startswith("tokens"))].computation
    views = ("parameter", "bitcast", "get-tuple-element")
    return [
        i
        for i in hlo.values()
        if i.computation == entry
        and i.opcode not in views
        and not is_carrier(i)
        and math.prod(i.shape) == size
    ]


def is_carrier(instruction: Instruction) -> bool:
    """Whether it lays the numbers of a product's operands into its result's memory."""
    return 'custom_call_target="xdna_carry_numbers"' in instruction.line


def gemms(hlo: dict[str, Instruction]) -> list[Instruction]:
    return [i for i in hlo.values() if 'custom_call_target="xdna_gemm_' in i.line]


def transposed_operands(hlo: dict[str, Instruction]) -> list[str]:
    """The lines that reorder a matrix in memory before a GEMM reads it."""
    return [
        moved.line.strip()
        for gemm in gemms(hlo)
        for name in gemm.operands
        for moved in made_by(hlo, name)
        if reorders(hlo, moved)
    ]


def made_by(hlo: dict[str, Instruction], name: str) -> list[Instruction]:
    """The instruction that computes `name`, and those in the computations it calls."""
    made = hlo[name]
    while made.opcode in ("bitcast", "reshape", "convert"):
        made = hlo[made.operands[0]]
    called = re.findall(r"(?:calls|to_apply)=%([\w.\-]+)", made.line)
    inner = [i for i in hlo.values() if i.computation in called]
    deeper = [
        other
        for i in inner
        for target in re.findall(r"(?:calls|to_apply)=%([\w.\-]+)", i.line)
        for other in hlo.values()
        if other.computation == target
    ]
    return [made, *inner, *deeper]


def reorders(hlo: dict[str, Instruction], made: Instruction) -> bool:
    """Whether a `transpose` or `copy` changes the order of a matrix in memory."""
    if made.opcode not in ("transpose", "copy"):
        return False
    source = hlo[made.operands[0]]
    dims = tuple(range(len(made.shape)))
    if permutation := re.search(r"dimensions=\{([\d,]*)\}", made.line):
        dims = integers(permutation[1])
    order = [dims[d] for d in made.major_to_minor if made.shape[d] != 1]
    source_order = [d for d in source.major_to_minor if source.shape[d] != 1]
    return order != source_order and math.prod(made.shape) > max(made.shape)
