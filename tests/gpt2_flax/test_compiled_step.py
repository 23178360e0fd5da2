"""What XLA makes of a training step, read from its optimised HLO."""

import math
import re
from typing import NamedTuple

import jax
import pytest

import jax_npu
from gpt2_flax.model import init_params, logits_function
from gpt2_flax.optimizer import make_optimizer, make_schedule
from gpt2_flax.train import State, make_train_step

# Forward: qkv, scores, context, two projections, fc. Backward: two for each.
GEMMS_PER_LAYER = 3 * 6
GEMMS_OF_HEAD = 3


@pytest.fixture
def compile_step(config, tokens):
    """The HLO text of the step of a model that uses the given `dot_general`."""

    def compile_with(dot_general):
        optimizer = make_optimizer(make_schedule(1e-3, 2, 10), 0.1, 1.0)
        step = make_train_step(logits_function(config, dot_general), optimizer)
        params = init_params(config, 0)
        state = State(params, optimizer.init(params))
        return step.lower(state, tokens).compile().as_text()

    return compile_with


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


def gemms(hlo: dict[str, Instruction]) -> list[Instruction]:
    return [i for i in hlo.values() if 'custom_call_target="xdna_' in i.line]


def transposed_operands(hlo: dict[str, Instruction]) -> list[str]:
    """Lines that move a matrix into another order to feed it to a GEMM."""
    return [
        moved.line.strip()
        for gemm in gemms(hlo)
        for name in gemm.operands
        for moved in made_by(hlo, name)
        if reorders(hlo, moved)
    ]


def made_by(hlo: dict[str, Instruction], name: str) -> list[Instruction]:
    """The instruction behind `name`, and what it calls."""
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
