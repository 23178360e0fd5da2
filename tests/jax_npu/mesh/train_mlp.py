"""Training of a small MLP on four devices; test_two_processes.py runs it.

    python train_mlp.py data-parallel|fsdp PORT NUM_PROCESSES PROCESS

Process 0 prints the losses of all steps as JSON.
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax import P
from jax.sharding import AxisType, NamedSharding

import jax_npu

SIZES = {"up": (16, 64), "down": (64, 8)}
NUM_DEVICES, BATCH, STEPS, LEARNING_RATE = 4, 32, 6, 0.5
SPLITS = {"data-parallel": P(), "fsdp": P("data")}


def main(split, port, num_processes, process):
    jax.config.update("jax_num_cpu_devices", NUM_DEVICES // num_processes)
    if num_processes > 1:
        jax.distributed.initialize(
            f"localhost:{port}", num_processes, process, initialization_timeout=60
        )
    assert jax.device_count() == NUM_DEVICES
    mesh = jax.make_mesh((NUM_DEVICES,), ("data",), axis_types=(AxisType.Auto,))
    batches, weights = (
        NamedSharding(mesh, P("data")),
        NamedSharding(mesh, SPLITS[split]),
    )
    rng = np.random.default_rng(0)

    def put(shape, sharding):
        whole = rng.standard_normal(shape, np.float32) / 4  # the same in each process
        return jax.make_array_from_callback(shape, sharding, lambda i: whole[i])

    def loss(params, x, y):
        hidden = jax.nn.relu(jax_npu.matmul(x, params["up"]))
        return jnp.mean((jax_npu.matmul(hidden, params["down"]) - y) ** 2)

    def step(params, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, grads), value

    # The weights' split stays from step to step; the loss is whole everywhere.
    step = jax.jit(step, out_shardings=(weights, NamedSharding(mesh, P())))
    params = {name: put(shape, weights) for name, shape in SIZES.items()}
    x, y = (put((BATCH, size), batches) for size in (16, 8))
    losses = []
    for _ in range(STEPS):
        params, value = step(params, x, y)
        losses.append(float(value))
    if process == 0:
        print(json.dumps(losses))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
