"""A Flax NNX model that trains with its layers' products on the chosen backend.

Only the first layer is given `jax_npu.dot_general`, so only its products leave XLA.
Prints where products run, and the accuracy before and after training.

Needs: pip install 'jax-npu[gpt2]' (Flax and optax).
"""

import jax
import jax.numpy as jnp
import optax
import rich
from flax import nnx

import jax_npu

STEPS = 80


class Classifier(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(16, 64, dot_general=jax_npu.dot_general, rngs=rngs)
        self.out = nnx.Linear(64, 3, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.hidden(x)))


def loss(model, x, labels):
    losses = optax.softmax_cross_entropy_with_integer_labels(model(x), labels)
    return losses.mean()


@nnx.jit
def step(model, optimizer, x, labels):
    optimizer.update(model, nnx.grad(loss)(model, x, labels))


def accuracy(model, x, labels):
    return float((model(x).argmax(-1) == labels).mean())


def main():
    x_key, way_key = jax.random.split(jax.random.key(0))
    x = jax.random.normal(x_key, (512, 16))
    labels = (x @ jax.random.normal(way_key, (16, 3))).argmax(-1)
    model = Classifier(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(0.01), wrt=nnx.Param)
    graph, state = nnx.split(model)
    rich.print(
        jax_npu.explain(
            jax.grad(lambda state: loss(nnx.merge(graph, state), x, labels)), state
        )
    )
    before = accuracy(model, x, labels)
    for _ in range(STEPS):
        step(model, optimizer, x, labels)
    after = accuracy(model, x, labels)
    print(f"accuracy {before:.2f} before, {after:.2f} after {STEPS} steps")
    assert jnp.isfinite(after)


if __name__ == "__main__":
    main()
