"""Data-parallel training on two devices of the CPU, with offloaded products.

Each device computes the products of its half of the batch, and XLA sums the gradients.
Prints what each device holds, and that the loss is that of a single device.
"""

import os

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jax_npu

STEPS, RATE = 20, 0.1


@jax.jit
@jax_npu.offload
def step(weights, x, y):
    def loss(weights):
        return jnp.mean((jnp.tanh(x @ weights[0]) @ weights[1] - y) ** 2)

    value, gradients = jax.value_and_grad(loss)(weights)
    return [w - RATE * g for w, g in zip(weights, gradients, strict=True)], value


def train(devices):
    mesh = Mesh(devices, ("batch",))
    split = NamedSharding(mesh, PartitionSpec("batch"))
    whole = NamedSharding(mesh, PartitionSpec())
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.device_put(jax.random.normal(keys[0], (64, 32)), split)
    y = jax.device_put(jnp.sin(x.sum(1, keepdims=True)), split)
    shapes = zip(keys[1:], [(32, 48), (48, 1)], strict=True)
    weights = [jax.random.normal(key, shape) / 6 for key, shape in shapes]
    weights = jax.device_put(weights, whole)
    for _ in range(STEPS):
        weights, loss = step(weights, x, y)
    rows = {shard.data.shape[0] for shard in x.addressable_shards}
    print(f"{len(devices)} device(s): {rows} rows each, loss {loss:.4f}")


def main():
    train(jax.devices()[:1])
    train(jax.devices()[:2])


if __name__ == "__main__":
    main()
