"""What XLA compiles: every product a custom call, and no copy of its operands."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu

INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%(\S+) = .*? ([a-z][\w-]*)\((.*)$")
COMPUTATION = re.compile(r"^(?:ENTRY )?%(\S+) \(.*\{$")
MOVES_DATA = {"transpose", "copy"}


def optimised(function, *operands):
    return jax.jit(function).lower(*operands).compile().as_text()


def parse(hlo):
    """The program as {computation: {instruction: (opcode, operand names, line)}}."""
    computations, body = {}, {}
    for line in hlo.splitlines():
        if start := COMPUTATION.match(line):
            body = computations[start[1]] = {}
        elif found := INSTRUCTION.match(line):
            operands = re.findall(r"%([\w.-]+)", found[3].split("), ")[0])
            body[found[1]] = (found[2], operands, line)
    return computations


def copied_operands(hlo):
    """Operands of our custom calls that a transpose or a copy made, fused or not."""
    computations = parse(hlo)

    def is_copy(body, name):
        opcode, operands, line = body[name]
        if opcode == "bitcast":
            return is_copy(body, operands[0])
        if opcode == "fusion":
            called = computations[re.search(r"calls=%([\w.-]+)", line)[1]]
            return any(inner in MOVES_DATA for inner, *_ in called.values())
        return opcode in MOVES_DATA

    return [
        operand
        for body in computations.values()
        for _, operands, line in body.values()
        if 'custom_call_target="xdna_' in line
        for operand in operands
        if is_copy(body, operand)
    ]


def num_custom_calls(hlo, backend):
    return hlo.count(f'custom_call_target="xdna_gemm_{backend}"')


def mlp_loss(weights, x):
    w1, w2 = weights
    hidden = jnp.tanh(jax_npu.matmul(x, w1))
    return jax.nn.logsumexp(jax_npu.matmul(hidden, w2), -1).sum()


def tied_loss(embedding, x):
    """One matrix in both orientations, as GPT-2's tied head has it."""
    hidden = jnp.tanh(jax_npu.einsum("bti,iv->btv", x, embedding))
    return (jax_npu.einsum("btv,iv->bti", hidden, embedding) ** 2).sum()


def attention_loss(weights, x):
    """Batched products with the heads where the projection leaves them."""
    wq, wk, wv = weights
    q, k, v = (jax_npu.einsum("btd,dhe->bthe", x, w) for w in (wq, wk, wv))
    scores = jax.nn.softmax(jax_npu.einsum("bthe,bshe->bhts", q, k))
    return (jax_npu.einsum("bhts,bshe->bthe", scores, v) ** 2).sum()


X = jnp.ones((2, 24, 16))
MLP = (jnp.ones((16, 40)), jnp.ones((40, 16)))
ATTENTION = tuple(jnp.ones((16, 4, 8)) for _ in range(3))
STEPS = {  # loss, its parameters, products of a gradient in both of its arguments
    "mlp": (mlp_loss, MLP, 6),
    "tied": (tied_loss, jnp.ones((16, 40)), 6),
    "attention": (attention_loss, ATTENTION, 15),
}


def test_the_parser_finds_a_copied_operand():
    copied = copied_operands(
        """
%fused_computation (p: f32[2,3]) -> f32[3,2] {
  ROOT %transpose.1 = f32[3,2]{1,0} transpose(%p), dimensions={1,0}
}

ENTRY %main (x: f32[2,3], y: f32[2,4]) -> f32[3,4] {
  %x = f32[2,3]{1,0} parameter(0)
  %y = f32[2,4]{1,0} parameter(1)
  %fusion = f32[3,2]{1,0} fusion(%x), kind=kLoop, calls=%fused_computation
  %copy.1 = f32[2,4]{1,0} copy(%y)
  %bitcast = f32[2,4]{1,0} bitcast(%copy.1)
  ROOT %call = f32[3,4]{1,0} custom-call(%fusion, %bitcast), \
custom_call_target="xdna_gemm_host", operand_layout_constraints={f32[3,2]{1,0}}
}
"""
    )
    assert copied == ["fusion", "bitcast"]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_custom_calls_only_and_none_of_their_operands_is_copied(
    custom_call_backend, step
):
    loss, weights, num_products = STEPS[step]
    hlo = optimised(jax.value_and_grad(loss, (0, 1)), weights, X)
    assert num_custom_calls(hlo, custom_call_backend) == num_products
    assert " dot(" not in hlo
    assert "__onednn" not in hlo
    assert copied_operands(hlo) == []


@pytest.mark.parametrize("step", STEPS)
def test_no_custom_call_is_left_on_xla(step):
    loss, weights, _ = STEPS[step]
    with jax_npu.backend("xla"):
        hlo = optimised(jax.value_and_grad(loss, (0, 1)), weights, X)
    assert "xdna_" not in hlo


def test_products_of_a_scanned_and_checkpointed_step_are_custom_calls(
    custom_call_backend,
):
    def loss(weights, x):
        @jax.checkpoint
        def layer(x, w):
            return jnp.tanh(jax_npu.matmul(x, w)), None

        return jax.lax.scan(layer, x, weights)[0].sum()

    hlo = optimised(jax.grad(loss, (0, 1)), jnp.ones((3, 16, 16)), X)
    # One forward; and in the backward loop, forward again, dX and dW.
    assert num_custom_calls(hlo, custom_call_backend) == 4
    assert " dot(" not in hlo


@pytest.mark.parametrize(
    ("dims", "lhs", "rhs"),
    [
        ((0, None), (3, 4, 5), (5, 6)),
        ((1, None), (4, 3, 5), (5, 6)),
        ((None, 0), (4, 5), (3, 5, 6)),
        ((None, 2), (4, 5), (5, 6, 3)),
        ((1, 2), (4, 3, 5), (5, 6, 3)),
    ],
)
def test_vmap_copies_no_operand(custom_call_backend, dims, lhs, rhs):
    product = jax.vmap(lambda a, b: jax_npu.einsum("mk,kn->nm", a, b), dims)
    hlo = optimised(product, jnp.ones(lhs), jnp.ones(rhs))
    assert num_custom_calls(hlo, custom_call_backend) == 1
    assert copied_operands(hlo) == []


def test_gradients_are_products_of_the_cotangent_to_the_bit(rng, custom_call_backend):
    w, x = (rng.standard_normal(shape, np.float32) for shape in ((40, 24), (9, 40)))
    ct = rng.standard_normal((9, 24), np.float32)
    dx, dw = jax.vjp(jax_npu.matmul, x, w)[1](ct)
    np.testing.assert_array_equal(dx, jax_npu.einsum("bn,kn->bk", ct, w))
    np.testing.assert_array_equal(dw, jax_npu.einsum("bk,bn->kn", x, ct))
    assert dx.dtype == dw.dtype == jnp.float32


def test_products_of_several_passes_read_the_whole_cotangent(custom_call_backend):
    def loss(w):
        return (jax_npu.matmul(X, w, precision="highest") ** 2).sum()

    hlo = optimised(jax.grad(loss), MLP[0])
    products = [line for line in hlo.splitlines() if '"xdna_gemm_' in line]
    constraints = re.findall(
        r"operand_layout_constraints=\{([^=]*)\}", "\n".join(products)
    )
    assert len(constraints) == 2
    assert not any("bf16" in types for types in constraints)
