"""What this installation of jax-npu can do: its libraries, its design, XLA's side."""

import importlib.metadata
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib

from jax_npu import ffi, npu_plan
from jax_npu.backend_choice import DRIVERS
from jax_npu.doctor.remedies import REINSTALL
from jax_npu.machine import text
from jax_npu.products import matmul

ISA_VARIABLE = "JAX_NPU_HOST_ISA"


@dataclass(frozen=True)
class Part:
    """Something that is there, or `problem` says why not."""

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


def inspect_installation(
    device: str | None, built_design: Callable[[str], Path] | None = None
) -> Installation:
    """Tries each part; the design is that of `device`, none without a chip."""
    return Installation(
        npu_library=_part(lambda: ffi.library_path(DRIVERS["npu"]).name),
        design=_design(device, built_design or npu_plan.built_design),
        ffi=_product(),
        host_isa=_part(ffi.host_isa),
        forced_isa=os.environ.get(ISA_VARIABLE, ""),
        chosen_design=os.environ.get(npu_plan.DESIGN_VARIABLE, ""),
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
    """A product through XLA: the one proof that it takes handlers of our version."""
    version = f"jaxlib {jaxlib.__version__}, FFI {_ffi_version()}"
    try:
        ffi.load()
    except OSError as error:
        return Part(problem=str(error), remedy=f"{REINSTALL}  # in jax-npu's sources")
    try:
        with jax.default_device(jax.devices("cpu")[0]):
            product = float(matmul(jnp.ones(2), jnp.ones(2), backend="host"))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        return Part(problem=f"{version}: {reason}", remedy=_supported_jaxlib())
    if product != 2.0:
        problem = f"{version}: 1 + 1 gave {product}"
        return Part(problem=problem, remedy=_supported_jaxlib())
    return Part(f"{version}, a product ran")


def _ffi_version() -> str:
    """Of XLA's side, from the headers that jaxlib ships."""
    header = Path(jaxlib.__file__).parent / "include/xla/ffi/api/c_api.h"
    pattern = r"#define XLA_FFI_API_(?:MAJOR|MINOR) (\d+)"
    return ".".join(re.findall(pattern, text(header) or "")) or "unknown"


def _supported_jaxlib() -> str:
    required = importlib.metadata.requires("jax-npu") or []
    bounds = next(one for one in required if one.startswith("jaxlib"))
    return f"pip install '{bounds}'"
