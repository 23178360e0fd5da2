"""Random products on random meshes; test_mesh_fuzz.py runs it with eight devices.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python mesh_fuzz.py SEED COUNT

Each case is a seed. Operands are small integers, so that sums are exact in any order.
A term is added to each that is 0 within the shape, but anything, even NaN, in XLA's
padding.
"""

import dataclasses
import functools
import math
import os
import sys
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import P, lax
from jax.sharding import AxisType, NamedSharding

import jax_npu

# Backends that compute side by side in one program, or only that of $JAX_NPU_BACKEND.
BACKENDS = (
    (os.environ["JAX_NPU_BACKEND"],)
    if "JAX_NPU_BACKEND" in os.environ
    else ("host", "sim")
)
MAX_PRODUCTS = 4000  # scalar products, which take the simulator's time
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 13)
MESHES = [(n,) for n in range(1, 9)] + [(2, 2), (2, 3), (4, 2), (2, 4), (2, 2, 2)]
# Functions that are 0 for x = 1, as within the shape, and their own key for x = 0, with
# which XLA pads. XLA may also pad with copies.
ZEROS = {
    "0": lambda x: x - x,
    "-inf": jnp.log,
    "inf": lambda x: 1 / x - 1,
    "nan": lambda x: (x - x) / x,
    "5": lambda x: 5 - 5 * x,
}


@dataclass
class Case:
    """A product of `terms`, and the split of lhs, rhs and out on a mesh."""

    mesh: Any
    sizes: dict[str, int]
    terms: list[str]  # lhs, rhs and out with v, the dimension that is vmapped, if any
    typed: list[P]  # splits over Explicit axes
    split: list[P]  # splits over Auto axes, which may not divide the size
    extra: list[int]  # elements cut off from dimension 0, for operands that are slices
    zeros: list[str]  # keys of ZEROS
    dtype: str
    options: dict[str, Any]


def random_case(rng) -> Case:
    shape = MESHES[rng.integers(len(MESHES))]
    kinds = [AxisType.Auto, AxisType.Explicit]
    types = tuple(kinds[int(rng.random() < 0.3)] for _ in shape)
    devices = np.array(jax.devices()[: math.prod(shape)]).reshape(shape)
    mesh = jax.sharding.Mesh(devices, tuple("xyz"[: len(shape)]), axis_types=types)
    terms = _random_terms(rng)
    sizes = {c: int(rng.choice(SIZES)) for c in "".join(terms)}
    while math.prod(sizes.values()) > MAX_PRODUCTS:
        longest = max(sizes, key=lambda c: sizes[c])
        sizes[longest] //= 2
    if sizes and rng.random() < 0.03:
        sizes[rng.choice(list(sizes))] = 0
    typed = [_random_split(rng, mesh, AxisType.Explicit, t, sizes) for t in terms]
    split = [_random_split(rng, mesh, AxisType.Auto, t, None) for t in terms]
    options = [{}, {}, {"precision": "highest"}, {"preferred_element_type": "float32"}]
    return Case(
        mesh,
        sizes,
        terms,
        typed,
        split,
        extra=[
            int(rng.integers(1, 4))
            if t and not any(p[:1]) and rng.random() < 0.3
            else 0
            for t, p in zip(terms, typed)
        ],
        zeros=[str(rng.choice(list(ZEROS))) for _ in terms],
        dtype=str(rng.choice(["float32", "float32", "bfloat16"])),
        options=options[rng.integers(len(options))],
    )


def _random_terms(rng) -> list[str]:
    batch, m, n, k = (
        labels[: rng.integers(most + 1)]
        for labels, most in (("ab", 1), ("mo", 2), ("np", 1), ("kl", 2))
    )
    vmapped = rng.choice(["", "", "lhs", "rhs", "both"])
    lhs = batch + m + k + "v" * (vmapped in ("lhs", "both"))
    rhs = batch + n + k + "v" * (vmapped in ("rhs", "both"))
    lhs, rhs = ("".join(rng.permutation(list(term))) for term in (lhs, rhs))
    free = [c for term in (lhs, rhs) for c in term if c in m + n]
    return [lhs, rhs, "v" * bool(vmapped) + batch + "".join(free)]


def _random_split(rng, mesh, kind, term, sizes) -> P:
    """A random split over some axes, which divide the size if `sizes` are given."""
    parts: list[tuple[str, ...]] = [()] * len(term)
    axes = [a for a, t in zip(mesh.axis_names, mesh.axis_types) if t == kind]
    for axis in rng.permutation(axes) if term else ():
        dim = rng.integers(len(term))
        longer = (*parts[dim], str(axis))
        parts_of_dim = math.prod(mesh.shape[a] for a in longer)
        typed_fits = sizes is None or (
            sizes[term[dim]] % parts_of_dim == 0 and term[dim] != "v"
        )
        if typed_fits and rng.random() < 0.8:
            parts[dim] = longer
    return P(*(part or None for part in parts))


def product(dot, case: Case):
    """`dot` on the case's terms, under vmap for those that have a v."""
    lhs, rhs, _ = (term.replace("v", "") for term in case.terms)
    batch = [c for c in lhs if c in rhs and c in case.terms[2]]
    contracted = [c for c in lhs if c in rhs and c not in case.terms[2]]
    numbers = tuple(
        tuple([term.index(c) for c in labels] for term in (lhs, rhs))
        for labels in (contracted, batch)
    )
    one = functools.partial(dot, dimension_numbers=numbers, **case.options)
    dims = tuple(t.index("v") if "v" in t else None for t in case.terms[:2])
    return jax.vmap(one, dims) if dims != (None, None) else one


def value_and_gradients(case: Case, dot, lhs, rhs, ct):
    """The result, and the cotangents of both operands."""
    out, pull_back = jax.vjp(product(dot, case), lhs, rhs)
    return out, *pull_back(ct.astype(out.dtype))


def arrays_of(rng, case: Case):
    """Operands and a cotangent, with NaN where they are cut off; and arrays of 1."""
    operands, ones = [], []
    for term, extra, dtype in zip(
        case.terms, case.extra, (case.dtype, case.dtype, "float32")
    ):
        shape = [case.sizes[c] for c in term]
        x = rng.integers(-3, 4, shape).astype(np.float32)
        if extra:
            tail = np.full((extra, *shape[1:]), np.nan, np.float32)
            x = np.concatenate([x, tail])
        operands.append(x.astype(jnp.dtype(dtype)))
        ones.append(np.ones(shape, np.float32))
    return operands, ones


def run_on_mesh(rng, case: Case, operands, ones):
    """The results of each backend, and then lax's if some axes are Explicit."""
    dots = [functools.partial(jax_npu.dot_general, backend=b) for b in BACKENDS]
    typed = case.mesh.abstract_mesh.explicit_axes
    if typed:
        out = P(*(p for c, p in zip(case.terms[2], case.typed[2]) if c != "v"))
        dots.append(lax.dot_general)
        dots = [functools.partial(dot, out_sharding=out) for dot in dots]

    def step(operands, ones):
        args = [_padded(case, i, *both) for i, both in enumerate(zip(operands, ones))]
        results = [value_and_gradients(case, dot, *args) for dot in dots]
        return [(_constrain(case, 2, out), *grads) for out, *grads in results]

    shardings = [_random_out_shardings(rng, case)] * len(dots)
    with jax.set_mesh(case.mesh):
        operands, ones = (
            [
                jax.device_put(x, NamedSharding(case.mesh, p))
                for x, p in zip(xs, case.typed)
            ]
            for xs in (operands, ones)
        )
        return jax.jit(step, out_shardings=None if typed else shardings)(operands, ones)


def _padded(case: Case, i: int, x, one):
    """Operand `i`, split, sliced and padded with the value that `zeros` has for 0."""
    x = _constrain(case, i, x)
    x = x[: x.shape[0] - case.extra[i]] if case.extra[i] else x
    return x + ZEROS[case.zeros[i]](_constrain(case, i, one)).astype(x.dtype)


def _constrain(case: Case, i: int, x):
    if not any(case.split[i]):
        return x
    return lax.with_sharding_constraint(x, NamedSharding(case.mesh, case.split[i]))


def _random_out_shardings(rng, case: Case) -> tuple[NamedSharding | None, ...]:
    out, lhs, rhs = (
        _random_split(rng, case.mesh, AxisType.Auto, term, case.sizes)
        for term in (case.terms[2], *case.terms[:2])
    )
    return tuple(
        NamedSharding(case.mesh, p) if any(p) else None for p in (out, lhs, rhs)
    )


def expected_of(case: Case, operands):
    """Results of lax on one device, in f32.

    At this optimization level XLA:CPU lacks some dots of bf16.
    """
    whole = [x[: len(x) - n] if n else x for x, n in zip(operands, case.extra)]
    options = {k: v for k, v in case.options.items() if k != "preferred_element_type"}
    in_f32 = dataclasses.replace(case, options=options)
    stock = functools.partial(value_and_gradients, in_f32, lax.dot_general)
    return [np.asarray(x) for x in jax.jit(stock)(*(x.astype("f4") for x in whole))]


def wrong_in(seed: int) -> str | None:
    """What is wrong with a case, or None."""
    rng = np.random.default_rng(seed)
    case = random_case(rng)
    operands, ones = arrays_of(rng, case)
    expected = expected_of(case, operands)
    actual = jax.tree.leaves(run_on_mesh(rng, case, operands, ones))
    for i, x in enumerate(actual):
        name = f"{['out', 'd lhs', 'd rhs'][i % 3]} on {(*BACKENDS, 'lax')[i // 3]}"
        if not np.array_equal(np.asarray(x), expected[i % 3].astype(x.dtype)):
            return f"seed {seed}: {name} is wrong: {case}"
        if jax.typeof(x).sharding.spec != _explicit_part(x, case.mesh):
            return f"seed {seed}: {name} has {x.sharding}: {jax.typeof(x)} {case}"
        if jax.typeof(x) != jax.typeof(actual[-3 + i % 3]):
            return (
                f"seed {seed}: {name} is not typed as from lax: {jax.typeof(x)} {case}"
            )
    return None


def _explicit_part(x, mesh) -> P:
    """The split of `x` over the devices, restricted to the mesh's Explicit axes."""
    explicit = mesh.abstract_mesh.explicit_axes
    parts = []
    for part in (*x.sharding.spec, *[None] * x.ndim)[: x.ndim]:
        axes = (part,) if isinstance(part, str) else part or ()
        kept = tuple(axis for axis in axes if axis in explicit)
        parts.append(kept if len(kept) > 1 else kept[0] if kept else None)
    return P(*parts)


def main(first: int, count: int) -> int:
    failed = 0
    for seed in range(first, first + count):
        if wrong := wrong_in(seed):
            failed += 1
            flags = os.environ.get("XLA_FLAGS", "")
            rerun = f'XLA_FLAGS="{flags}" {sys.executable} {sys.argv[0]} {seed} 1'
            print(f"{wrong}\n  rerun: {rerun}", flush=True)
    print(f"{failed} of {count} cases failed, seeds {first} to {first + count - 1}")
    return failed


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])) > 0)
