"""Random products on the host, by every instruction set that this CPU has."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from jax_npu.runtime.environment import HOST_ISA

from ...contractions import expected_contraction


@dataclass(frozen=True, eq=False)  # jit needs a hash
class Product:
    """A contraction, and the size of each of its indices."""

    subscripts: str
    sizes: dict[str, int]
    dtypes: tuple[str, str] = ("float32", "float32")
    out: str = "float32"
    precision: Any = None

    def shapes(self):
        terms = self.subscripts.split("->")[0].split(",")
        return [tuple(self.sizes[c] for c in term) for term in terms]

    def __call__(self, lhs, rhs):
        return jax_npu.einsum(
            self.subscripts,
            lhs,
            rhs,
            preferred_element_type=self.out,
            precision=self.precision,
        )


@pytest.fixture
def on_every_isa(monkeypatch):
    """A function that calls another by every instruction set of this CPU.

    Returns the results by the set's name. Tests with fixture `isa` say which sets this
    CPU lacks.
    """

    def run(function, *inputs):
        results = {}
        for name in HOST_ISA.choices:
            monkeypatch.setenv(HOST_ISA.name, name)
            if jax_npu.backends()["host"].available:
                with jax_npu.backend("host"):
                    results[name] = jax.block_until_ready(function(*inputs))
        return results

    return run


@pytest.fixture
def check(on_every_isa, rng):
    """A function that computes products of random data, and compares the results.

    One program has them all. The instruction set is read when it runs, not when it is
    compiled.
    """

    def check(*products):
        operands = [
            [
                jnp.asarray(rng.standard_normal(shape, np.float32), dtype)
                for shape, dtype in zip(product.shapes(), product.dtypes)
            ]
            for product in products
        ]
        program = jax.jit(lambda xs: [p(*pair) for p, pair in zip(products, xs)])
        results = on_every_isa(program, operands)
        for i, (product, pair) in enumerate(zip(products, operands)):
            # Several passes multiply f32 values, which are not rounded.
            rounded = "host" if product.precision is None else "xla"
            expected = expected_contraction(
                product.subscripts, *pair, product.out, rounded
            )
            for isa, result in results.items():
                expected.check(result[i], f"{product} by {isa}: ")

    return check
