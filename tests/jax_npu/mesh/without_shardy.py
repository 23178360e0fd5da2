"""Products as XLA's older partitioner splits them; test_without_shardy.py runs it.

    JAX_USE_SHARDY_PARTITIONER=0 python without_shardy.py

Prints a line of JSON for each case: what jax_npu and what jax.numpy gives.
"""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax import P, lax
from jax.sharding import AxisType, NamedSharding, reshard

import jax_npu

AUTO, EXPLICIT = AxisType.Auto, AxisType.Explicit
RNG = np.random.default_rng(0)
LHS, RHS = (RNG.integers(-3, 4, s).astype(np.float32) for s in ((8, 12), (12, 16)))
SHORT = 10  # a contracted size that four devices do not divide


def on_mesh(kind, lhs, rhs, product):
    """`product` on a 2 x 2 mesh, with operands placed as `lhs` and `rhs` say."""
    mesh = jax.make_mesh((2, 2), ("x", "y"), axis_types=(kind,) * 2)

    def run(module):
        with jax.set_mesh(mesh):
            a = jax.device_put(LHS, NamedSharding(mesh, lhs))
            b = jax.device_put(RHS, NamedSharding(mesh, rhs))
            return jax.jit(lambda a, b: product(module, a, b))(a, b)

    return run


def matmul(module, a, b, **options):
    return module.matmul(a, b, **options)


def gradients(module, a, b):
    return jax.grad(lambda a, b: (module.matmul(a, b) ** 2).sum(), (0, 1))(a, b)


def uneven(module, a, b):
    a = lax.with_sharding_constraint(a[:, :SHORT], P(None, ("x", "y")))
    return module.matmul(a + 1, b[:SHORT] + 1)


def in_shard_map(module, a, b):
    return jax.shard_map(
        lambda a, b: lax.psum(module.matmul(a, b), ("x", "y")),
        in_specs=(P(None, ("x", "y")), P(("x", "y"))),
        out_specs=P(),
    )(a, b)


def in_half_a_shard_map(manual, free):
    def product(module, a, b):
        def local(a, b):
            a = lax.with_sharding_constraint(a, P(None, free))
            return module.matmul(a, lax.with_sharding_constraint(b, P(free)))

        specs = {"in_specs": (P(manual), P()), "out_specs": P(manual)}
        return jax.shard_map(local, axis_names={manual}, **specs)(a, b)

    return product


def typed(module, a, b):
    return module.matmul(a, b, out_sharding=P("x", None))


def partial_sums(module, a, b):
    out = module.matmul(a, b, out_sharding=P(None, None, unreduced={"x"}))
    return reshard(out, P())


CASES = {
    "rows": on_mesh(AUTO, P("x"), P(), matmul),
    "sum": on_mesh(AUTO, P(None, "x"), P("x"), matmul),
    "rows and sum": on_mesh(AUTO, P("x", "y"), P("y", "x"), matmul),
    "gradients": on_mesh(AUTO, P("x"), P("x", "y"), gradients),
    "uneven sum": on_mesh(AUTO, P(), P(), uneven),
    "shard_map": on_mesh(AUTO, P(), P(), in_shard_map),
    "shard_map over x": on_mesh(AUTO, P(), P(), in_half_a_shard_map("x", "y")),
    "shard_map over y": on_mesh(AUTO, P(), P(), in_half_a_shard_map("y", "x")),
    "explicit": on_mesh(EXPLICIT, P("x", "y"), P("y"), typed),
    "unreduced": on_mesh(EXPLICIT, P(None, "x"), P("x"), partial_sums),
}


def outcome(run, module):
    """The results as lists, or the first line of an error.

    The primitive that an error names last differs between versions of jax.
    """
    try:
        return [np.asarray(x).tolist() for x in jax.tree.leaves(run(module))]
    except Exception as error:
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        return re.sub(r" for primitive \w+$", "", line)


if __name__ == "__main__":
    with jax_npu.backend("host"):
        for name, run in CASES.items():
            print(json.dumps([name, outcome(run, jax_npu), outcome(run, jnp)]))
