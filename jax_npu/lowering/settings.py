"""What the environment says about a product, read where jax traces it.

jax finds what it has lowered again by the jaxpr. So what a lowering depends on stands
there: as a parameter of the primitive, or in the mark of an offloaded product.

Checks of an NPU's results: before a run its output is filled with a pattern that no
product has. After the run it is compared with the operands by Freivalds' test,
C r = A (B r) for random signs r: O(n^2) work beside the run's O(n^3).
`xla_ffi/npu/verify/` does it: `check.cc` compares, `self_test.cc` has a new context
compute two known products first, and `health.cc` decides what follows a wrong result.
"""

import functools
from typing import NamedTuple

import jax

from jax_npu.runtime.designs import require_trusted
from jax_npu.runtime.environment import (
    CHECK,
    DEVICE,
    HOST_ISA,
    IMAGE_CACHE_MB,
    OBJECTIVE,
    PLACE,
    SIM_ARITHMETIC,
    SIM_PACED,
    SMALL_PRODUCTS,
    STRICT,
)
from jax_npu.runtime.extension import host_isa
from jax_npu.runtime.target import (
    DRIVERS,
    is_paced,
    npu_arithmetic,
    npu_device,
    npu_machine,
)
from xdna.arithmetics import ARITHMETICS


class Settings(NamedTuple):
    """What a custom call is lowered for; a backend leaves what it does not read.

    Attributes:
      device: the NPU, npu1 or npu2.
      arithmetic: see `expected_arithmetic`.
      check: the results to check, as `$JAX_NPU_CHECK` has it.
      strict: whether a wrong result is an error; else the host computes it again.
      host_isa: the host's instruction set, for which operands are packed.
      small_products: `xla` or `call`, of the host; see `small_products.py`.
      machine: see `npu_machine`; jax lowers again for another one.
      shares_images: whether products of one value share its image on an NPU.
      place, objective: of an NPU, see `$JAX_NPU_PLACE` and `$JAX_NPU_OBJECTIVE`.
      forced: the sides that `jax_npu.placement` asks for, see `placement/forced.py`.
      stand_ins: whether results are NaN, since the virtual NPU is paced.
    """

    device: str = ""
    arithmetic: str = ""
    check: str = ""
    strict: bool = False
    host_isa: str = ""
    small_products: str = ""
    machine: str = ""
    shares_images: bool = False
    place: str = ""
    objective: str = ""
    forced: str = ""
    stand_ins: bool = False


# Part of jit's cache key, as the backend is.
forced_sides = jax.make_user_context(default_value="")
DEFAULT_PLACES = {"npu": "auto", "sim": "npu"}


def current_settings(backend: str) -> Settings:
    """The settings of a product that is traced now.

    Raises:
      ValueError: for a value that a variable does not have.
    """
    variables = (
        *(CHECK, DEVICE, HOST_ISA, IMAGE_CACHE_MB, OBJECTIVE, PLACE),
        *(SIM_ARITHMETIC, SIM_PACED, SMALL_PRODUCTS, STRICT),
    )
    values = (variable.get() for variable in variables)
    forced = forced_sides.value
    return _settings(backend, npu_machine(backend), forced, *values)


@functools.lru_cache(maxsize=64)
def _settings(backend: str, machine: str, forced: str, *environment: str) -> Settings:
    """The same, asked again when a variable changes: the chip is read off sysfs."""
    if backend == "host":
        return Settings(host_isa=host_isa(), small_products=SMALL_PRODUCTS.choose())
    if backend not in DRIVERS:
        return Settings()
    device = npu_device(backend)
    arithmetic = expected_arithmetic(npu_arithmetic(backend, device))
    if backend == "npu" and CHECK.choose() == "off":
        require_trusted(device)  # without checks there is no self-test either
    strict = STRICT.choose() == "1"
    shares_images = IMAGE_CACHE_MB.get() != "0"
    as_backend = "npu" if is_paced(backend) else backend
    place = PLACE.choose() if PLACE.get() else DEFAULT_PLACES[as_backend]
    # Products may be left to the host, which then reads its own settings.
    on_host = Settings()
    if place != "npu" or forced:
        on_host = _settings("host", "", "", *environment)
    return Settings(
        *(device, arithmetic, CHECK.choose(), strict),
        host_isa=on_host.host_isa,
        small_products=on_host.small_products,
        machine=machine,
        shares_images=shares_images,
        place=place,
        objective=OBJECTIVE.choose() if place == "auto" else "",
        forced=forced,
        stand_ins=is_paced(backend),
    )


def expected_arithmetic(arithmetic: str) -> str:
    """How cores that compute right round operands: "f32" (not at all) or "bfp16".

    Args:
      arithmetic: a name in `ARITHMETICS`.
    """
    return ARITHMETICS[arithmetic].operands
