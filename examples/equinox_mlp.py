"""An Equinox model, which knows nothing of jax-npu, offloaded where it is traced.

Products inside `vmap` and `filter_value_and_grad` become matrix products of the batch.
Prints where they run, and the loss, which falls.

Needs: pip install equinox
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import rich

import jax_npu

STEPS, RATE = 60, 0.2


@eqx.filter_value_and_grad
def loss(model, x, y):
    return jnp.mean((jax.vmap(model)(x) - y) ** 2)


def step(model, x, y):
    value, gradients = loss(model, x, y)
    return jax.tree.map(
        lambda p, g: p - RATE * g if eqx.is_inexact_array(p) else p, model, gradients
    ), value


def main():
    model_key, x_key = jax.random.split(jax.random.key(0))
    model = eqx.nn.MLP(8, 1, 64, 2, activation=jnp.tanh, key=model_key)
    x = jax.random.normal(x_key, (128, 8))
    y = jnp.sin(x.sum(axis=1, keepdims=True))
    arrays, rest = eqx.partition(model, eqx.is_array)

    def array_step(arrays, x, y):
        model, value = step(eqx.combine(arrays, rest), x, y)
        return eqx.filter(model, eqx.is_array), value

    with jax_npu.offload():  # everything that is traced here
        rich.print(jax_npu.explain(array_step, arrays, x, y))
        train = jax.jit(array_step)
        for number in range(1, STEPS + 1):
            arrays, value = train(arrays, x, y)
            if number in (1, STEPS):
                print(f"step {number}: loss {value:.3f}")


if __name__ == "__main__":
    main()
