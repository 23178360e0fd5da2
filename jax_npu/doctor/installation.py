"""What this installation of jax-npu can do: its libraries, its design, XLA's FFI."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib
from jaxlib.version import __version__ as jaxlib_version

from jax_npu.doctor.remedies import REINSTALL
from jax_npu.jax_private import supported
from jax_npu.placing import ALL_ON_THE_NPU, placement
from jax_npu.products import matmul
from jax_npu.runtime import designs, extension
from jax_npu.runtime.environment import CHECK, DESIGN, HOST_ISA
from jax_npu.runtime.machine import text
from jax_npu.runtime.npu_events import npu_health
from jax_npu.runtime.target import DRIVERS, npu_device

AFTER_SELF_TEST = {
    "npu": "jax-npu build --force",  # the kernels may have been miscompiled
    "sim": "unset JAX_NPU_SIM_FAULTS JAX_NPU_SIM_ARITHMETIC",
}


@dataclass(frozen=True)
class Part:
    """One part of the installation; `problem` is the reason why it does not work."""

    detail: str = ""
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Installation:
    npu_library: Part
    design: Part
    ffi: Part
    host_isa: Part
    forced_isa: str  # value of $JAX_NPU_HOST_ISA
    chosen_design: str  # value of $JAX_NPU_DESIGN
    self_test: Part | None = None  # None if no NPU was to be tested


def inspect_installation(
    device: str | None,
    built_design: Callable[[str], Path] | None = None,
    tested_backend: str | None = None,
) -> Installation:
    """Tries each part of the installation.

    Args:
      device: the chip whose design is looked for; None without a chip.
      built_design: finds that design, by default `designs.built_design`.
      tested_backend: "npu" or "sim", which must be able to run here: its self-test is
        run.
    """
    return Installation(
        npu_library=_part(lambda: extension.library_path(DRIVERS["npu"]).name),
        design=_design(device, built_design or designs.built_design),
        ffi=_product(),
        host_isa=_part(extension.host_isa),
        forced_isa=HOST_ISA.get(),
        chosen_design=DESIGN.get(),
        self_test=_self_test(tested_backend) if tested_backend else None,
    )


def _design(device: str | None, built_design: Callable[[str], Path]) -> Part:
    if device is None:
        return Part(problem="no chip to build it for")
    return _part(lambda: built_design(device).parent.name)


def _part(get: Callable[[], str]) -> Part:
    try:
        return Part(get())
    except (OSError, ValueError) as error:
        return Part(problem=str(error))


def _product() -> Part:
    """Computes a product through XLA, the only proof that it accepts our FFI."""
    version = f"jaxlib {jaxlib_version}, FFI {_ffi_version()}"
    another = f"pip install '{supported('jaxlib')}'"
    try:
        extension.load()
    except OSError as error:
        return Part(problem=str(error), remedy=f"{REINSTALL}  # in jax-npu's sources")
    try:
        with jax.default_device(jax.devices("cpu")[0]):
            product = float(matmul(jnp.ones(2), jnp.ones(2), backend="host"))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        return Part(problem=f"{version}: {reason}", remedy=another)
    if product != 2.0:
        problem = f"{version}: 1 + 1 gave {product}"
        return Part(problem=problem, remedy=another)
    return Part(f"{version}, a product ran")


def _self_test(backend: str) -> Part:
    """The self-test's result: a small product makes a context, which runs the test."""
    try:
        with jax.default_device(jax.devices("cpu")[0]), placement(ALL_ON_THE_NPU):
            matmul(jnp.ones(2), jnp.ones(2), backend=backend).block_until_ready()
    except (RuntimeError, ValueError) as error:
        return Part(problem=str(error).splitlines()[0])
    health = npu_health()[backend]
    if problem := health.self_test_problem or health.problem:
        return Part(problem=problem, remedy=AFTER_SELF_TEST[backend])
    if health.self_tests == 0:
        return Part(f"not run: ${CHECK.name} is off")
    if backend == "npu":
        try:
            designs.trust_design(npu_device("npu"), health.arithmetic)
        except (OSError, ValueError) as error:
            return Part(problem=f"passed, and cannot be recorded: {error}")
    return Part(
        f"{backend} passed in {health.self_test_ms:.0f} ms, arithmetic "
        f"{health.arithmetic}"
    )


def _ffi_version() -> str:
    """Version of XLA's FFI, from the headers that jaxlib ships."""
    header = Path(jaxlib.__file__).parent / "include/xla/ffi/api/c_api.h"
    pattern = r"#define XLA_FFI_API_(?:MAJOR|MINOR) (\d+)"
    return ".".join(re.findall(pattern, text(header) or "")) or "unknown"
