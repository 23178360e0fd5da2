"""A training loop in plain JAX, offloaded without a change to it.

Prints where each product of a training step runs, and the loss, which falls.

    python examples/plain_jax.py                      # on the NPU, or else on the CPU
    JAX_NPU_BACKEND=sim python examples/plain_jax.py  # on the virtual NPU
"""

import jax
import jax.numpy as jnp
import rich

import jax_npu

STEPS, RATE = 60, 0.3


def predict(params, x):
    for weights, bias in params[:-1]:
        x = jnp.tanh(x @ weights + bias)
    weights, bias = params[-1]
    return x @ weights + bias


def loss(params, x, y):
    return jnp.mean((predict(params, x) - y) ** 2)


@jax.jit
@jax_npu.offload  # the only line about the NPU
def step(params, x, y):
    value, gradients = jax.value_and_grad(loss)(params, x, y)
    return jax.tree.map(lambda p, g: p - RATE * g, params, gradients), value


def main():
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (256, 32))
    y = jnp.sin(x[:, :1] + x[:, 1:2])  # what the network is to learn
    sizes = [(32, 64), (64, 64), (64, 1)]
    params = [
        (jax.random.normal(key, size) / size[0] ** 0.5, jnp.zeros(size[1]))
        for key, size in zip(keys[1:], sizes, strict=True)
    ]
    rich.print(jax_npu.explain(step, params, x, y))
    for number in range(1, STEPS + 1):
        params, value = step(params, x, y)
        if number in (1, STEPS):
            print(f"step {number}: loss {value:.3f}")


if __name__ == "__main__":
    main()
