"""A training step of GPT-2 as gpt2_flax computes it: its products and other work.

Each product waits for what it is computed from: forward layer by layer, then backward,
where the gradients of a weight and of its input wait for the same value and not for one
another. The optimizer waits for all gradients, because it clips them together.
"""

from collections.abc import Sequence
from typing import NamedTuple

from xdna.placement.product import Product
from xdna.placement.timeline import Node
from xdna.training.models import QUERIES, Gpt2

ATTENTION, OTHER, OPTIMIZER = "attention", "other", "optimizer"
F32, BF16 = 4, 2

# Bytes that loops of XLA:CPU read and write beside products and the optimizer, in
# passes over arrays of f32: for each layer over (tokens, width) and over the scores
# (batch, heads, seq, seq), then over the logits and over the embedding. Fitted to XLA's
# own count ("bytes accessed", jax 0.10.2) in eight programs of gpt2_flax, within 10%.
LAYER_PASSES, SCORE_PASSES, LOGIT_PASSES, EMBEDDING_PASSES = 140.0, 7.8, 4.9, 2.3
# The gradient once for its norm; then gradient, parameter and both moments are read,
# and the last three written (jax_npu.adamw).
OPTIMIZER_PASSES = 8


def optimizer_bytes(model: Gpt2) -> int:
    """Bytes that an update reads and writes, bf16 images of weights among them."""
    return (OPTIMIZER_PASSES * F32 + BF16) * model.num_parameters


def other_bytes(model: Gpt2, batch_size: int, seq_len: int) -> float:
    """Bytes of everything but products and the optimizer."""
    tokens = batch_size * seq_len
    scores = batch_size * model.num_heads * seq_len**2
    layer = LAYER_PASSES * tokens * model.width + SCORE_PASSES * scores
    logits = LOGIT_PASSES * tokens * model.vocabulary
    embedding = EMBEDDING_PASSES * model.vocabulary * model.width
    return F32 * (model.num_layers * layer + logits + embedding)


def training_step(
    model: Gpt2, batch_size: int, seq_len: int, bytes_per_second: float
) -> list[Node]:
    """The nodes of a step.

    Args:
      bytes_per_second: at which everything but products passes over memory.
    """
    return _Step(model, batch_size, seq_len, bytes_per_second).nodes


Operands = tuple[int, int]  # numbers of an activation and of a weight
Ready = Sequence[int]  # nodes to wait for


class _Heads(NamedTuple):
    """Some queries of all heads: how many, the keys that they see, their values."""

    num_queries: int
    num_keys: int
    q: int
    k: int
    v: int
    weights: int


class _Layer(NamedTuple):
    """What the backward pass of a layer needs of its forward pass."""

    qkv: Operands
    heads: list[_Heads]
    proj: Operands
    fc: Operands
    fc_proj: Operands
    end: Ready


class _Step:
    def __init__(self, model: Gpt2, batch_size: int, seq_len: int, rate: float):
        self.model, self.seq_len = model, seq_len
        self.nodes: list[Node] = []
        self.gradients: list[int] = []
        self.num_values = 0
        self.tokens, self.width = batch_size * seq_len, model.width
        self.num_heads = batch_size * model.num_heads
        self.head_size = model.width // model.num_heads
        # In a layer, loops of XLA run in eight places: around each norm, softmax and
        # GELU, forward and backward. The rest is the loss, between both passes.
        layer = F32 * LAYER_PASSES * self.tokens * self.width
        self.place_seconds = layer / rate / 8
        rest = other_bytes(model, batch_size, seq_len) - model.num_layers * layer
        self.run(rest / rate, optimizer_bytes(model) / rate)

    def run(self, loss_seconds: float, optimizer_seconds: float) -> None:
        model, width = self.model, self.width
        ready: Ready = ()
        layers = []
        for _ in range(model.num_layers):
            layers.append(self.forward(ready))
            ready = layers[-1].end
        x, weight, d_logits = (self.value() for _ in range(3))
        size = 1, self.tokens, width, model.vocabulary
        ready = self.product(ready, size, (x, weight), "nk", a=BF16)
        ready = self.other(ready, loss_seconds)
        size = 1, self.tokens, model.vocabulary, width
        dx = self.product(ready, size, (d_logits, weight), "kn", a=BF16)
        self.gradient(ready, (width, model.vocabulary), (x, d_logits), (BF16, BF16))
        ready = dx
        for layer in reversed(layers):
            ready = self.backward(layer, ready)
        after = (*ready, *self.gradients)
        self.add(Node(after, seconds=optimizer_seconds, part=OPTIMIZER))

    def forward(self, ready: Ready) -> _Layer:
        width = self.width
        qkv, proj, fc, fc_proj = (self.operands() for _ in range(4))
        size = 1, self.tokens, width, 3 * width
        ready = self.product(self.other(ready), size, qkv, "kn", a=BF16)
        heads: list[_Heads] = []
        contexts: list[int] = []
        blocks = self.blocks()
        for queries, keys in blocks:
            one = _Heads(queries, keys, *(self.value() for _ in range(4)))
            size = self.num_heads, queries, self.head_size, keys
            scores = self.attend(ready, size, (one.q, one.k))
            soft = self.other(scores, self.place_seconds / len(blocks))
            size = self.num_heads, queries, keys, self.head_size
            contexts += self.attend(soft, size, (one.weights, one.v))
            heads.append(one)
        ready = self.product(contexts, (1, self.tokens, width, width), proj, "kn")
        size = 1, self.tokens, width, 4 * width
        ready = self.product(self.other(ready), size, fc, "kn", a=BF16)
        size = 1, self.tokens, 4 * width, width
        ready = self.product(self.other(ready), size, fc_proj, "kn", a=BF16)
        return _Layer(qkv, heads, proj, fc, fc_proj, ready)

    def backward(self, layer: _Layer, ready: Ready) -> Ready:
        width = self.width
        ready = self.through(ready, layer.fc_proj, (4 * width, width), BF16)
        ready = self.through(self.other(ready), layer.fc, (width, 4 * width), BF16)
        ready = self.through(self.other(ready), layer.proj, (width, width), F32)
        ends: list[int] = []
        for one in layer.heads:
            d_context, d_scores = self.value(), self.value()
            to_keys = self.num_heads, one.num_queries, self.head_size, one.num_keys
            from_keys = self.num_heads, one.num_queries, one.num_keys, self.head_size
            of_keys = self.num_heads, one.num_keys, one.num_queries, self.head_size
            d_weights = self.attend(ready, to_keys, (d_context, one.v))
            ends += self.attend(ready, of_keys, (one.weights, d_context))  # dV
            soft = self.other(d_weights, self.place_seconds / len(layer.heads))
            ends += self.attend(soft, from_keys, (d_scores, one.k))  # dQ
            ends += self.attend(soft, of_keys, (d_scores, one.q))  # dK
        ready = self.through(ends, layer.qkv, (width, 3 * width), BF16)
        return self.other(ready)

    def blocks(self) -> list[tuple[int, int]]:
        """Queries that attend together, and the keys that they see."""
        starts = range(0, self.seq_len, QUERIES)
        ends = [min(start + QUERIES, self.seq_len) for start in starts]
        return [(end - start, end) for start, end in zip(starts, ends)]

    def through(
        self, ready: Ready, xw: Operands, shape: tuple[int, int], x_bytes: int
    ) -> Ready:
        """Back through Y = X W: dX = dY Wᵀ and dW = Xᵀ dY, with W of that shape."""
        (x, weight), dy, (inner, outer) = xw, self.value(), shape
        size = 1, self.tokens, outer, inner
        dx = self.product(ready, size, (dy, weight), "nk")
        self.gradient(ready, shape, (x, dy), (x_bytes, F32))
        return dx

    def gradient(
        self,
        ready: Ready,
        shape: tuple[int, int],
        operands: Operands,
        num_bytes: tuple[int, int],
    ) -> None:
        size = 1, shape[0], self.tokens, shape[1]
        a_bytes, b_bytes = num_bytes
        product = Product(*size, "km", "kn", a_bytes=a_bytes, b_bytes=b_bytes)
        self.gradients += self.add(Node(tuple(ready), product, operands))

    def product(
        self,
        ready: Ready,
        size: tuple[int, int, int, int],
        operands: Operands,
        b_order: str,
        a: int = F32,
    ) -> Ready:
        """The product of an activation and a weight, of which it reads the image."""
        product = Product(*size, "mk", b_order, a_bytes=a, b_bytes=BF16)
        return self.add(Node(tuple(ready), product, operands))

    def attend(
        self, ready: Ready, size: tuple[int, int, int, int], operands: Operands
    ) -> Ready:
        return self.add(Node(tuple(ready), Product(*size), operands, part=ATTENTION))

    def other(self, ready: Ready, seconds: float | None = None) -> Ready:
        seconds = self.place_seconds if seconds is None else seconds
        return self.add(Node(tuple(ready), seconds=seconds, part=OTHER))

    def operands(self) -> Operands:
        return self.value(), self.value()

    def value(self) -> int:
        self.num_values += 1
        return self.num_values

    def add(self, node: Node) -> Ready:
        self.nodes.append(node)
        return (len(self.nodes) - 1,)
