"""Runs programs whose custom call was changed at random: `mutated_programs.py KIND N`.

Each must end in an error or in a result. What a seed changes is printed before it
runs, so that the last line of a crash names it. Prints how many ended in which way.
"""

import json
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from mutations import BF16, F32, MUTATIONS, Array, Call, flip_bits

from jax_npu.contraction import Spec, out_shape
from jax_npu.lowering import attributes, packing, plans, value_numbers
from jax_npu.precision import part_pairs
from jax_npu.runtime import designs, extension


def main(kind, count):
    make, mutations = KINDS[kind]
    programs, outcomes = make(), {"results": 0, "refused": 0, "unlowered": 0}
    for seed in range(count):
        rng = np.random.default_rng(seed)
        call, changes = programs[seed % len(programs)], []
        for _ in range(rng.integers(1, 3)):
            mutation = mutations[rng.integers(len(mutations))]
            call = mutation(rng, call)
            changes.append(mutation.__name__)
        print(kind, "seed", seed, *changes, file=sys.stderr, flush=True)
        outcomes[outcome(rng, call)] += 1
    print(json.dumps(outcomes))


def outcome(rng, call):
    """How the program ended; "unlowered" if jax wrote none."""
    extension.load().jax_npu_forget_health()
    operands = [
        jnp.asarray(rng.integers(-4, 5, one.shape).astype(one.dtype))
        for one in call.operands
    ]
    result = jax.ShapeDtypeStruct(call.result.shape, call.result.dtype)

    def program(*operands):
        return jax.ffi.ffi_call(call.target, result)(*operands, **call.attributes)

    try:
        lowered = jax.jit(program).lower(*operands)
    except Exception:
        return "unlowered"
    try:
        jax.block_until_ready(lowered.compile()(*operands))
    except jax.errors.JaxRuntimeError:
        return "refused"
    return "results"


def product(subscripts, lhs, rhs, dtype=F32, passes=1, target="xdna_gemm_host", **more):
    spec = Spec(*subscripts.replace("->", ",").split(","))
    pairs = part_pairs(passes, dtype, dtype)
    return Call(
        target,
        (Array(lhs, dtype), Array(rhs, dtype)),
        Array(out_shape(spec, lhs, rhs)),
        attributes.product_attributes(spec, pairs) | more,
    )


def host_programs():
    packed = product("mk,kn->mn", (17, 30), (30, 20))
    words = Array((packing._packed_words(17, 30),), np.dtype(np.uint32))
    return [
        product("mk,kn->mn", (2, 3), (3, 5)),
        product("km,nk->nm", (70, 33), (40, 70), BF16),
        product("bmk,nbk->mbn", (3, 20, 9), (30, 3, 9), passes=6),
        product("mk,k->m", (20, 9), (9,)),
        replace(packed, operands=(words, packed.operands[1])),
    ]


def pack_programs():
    made = []
    for shape, is_lhs, other in [
        ((17, 30), True, (30, 20)),
        ((30, 20), False, (17, 30)),
    ]:
        rows = shape[0] if is_lhs else shape[1]
        words = Array((packing._packed_words(rows, 30),), np.dtype(np.uint32))
        made_of = attributes.pack_attributes(Spec("mk", "kn", "mn"), is_lhs, other)
        made.append(Call("xdna_pack_host", (Array(shape),), words, made_of))
    return made


def sim_programs():
    made = []
    for subscripts, lhs, rhs, sizes, passes, check in [
        ("mk,kn->mn", (4, 4), (4, 4), (1, 4, 4, 4), 1, "off"),
        ("bmk,bkn->bmn", (2, 5, 70), (2, 70, 9), (2, 5, 70, 9), 1, "always"),
        ("km,nk->nm", (7, 20), (300, 7), (1, 20, 3 * 7, 300), 3, "first"),
    ]:
        on_npu = attributes.npu_attributes(
            plan=plans.product_plan("npu1", *sizes),
            self_test=plans.self_test_plan("npu1"),
            device="npu1",
            design_key=designs.design_key("sim", "npu1"),
            arithmetic="f32",
            check=check,
            strict=True,
        )
        call = product(
            subscripts, lhs, rhs, passes=passes, target="xdna_gemm_sim", **on_npu
        )
        numbers = [Array((value_numbers.WORDS,), np.dtype(np.uint32))] * 2
        made.append(replace(call, operands=(*call.operands, *numbers)))
    return made


KINDS = {
    "host": (host_programs, MUTATIONS),
    "pack": (pack_programs, MUTATIONS),
    "sim": (sim_programs, MUTATIONS),
    "words": (sim_programs, (flip_bits,)),
}

if __name__ == "__main__":
    extension.register_all()
    main(sys.argv[1], int(sys.argv[2]))
