"""The choice of a backend: an argument, a context manager, or the environment."""

import functools
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import jax

from jax_npu.lowering.offload_choice import Choice, current_choice
from jax_npu.runtime import extension
from jax_npu.runtime.environment import (
    BACKEND,
    DESIGN,
    DEVICE,
    HOST_ISA,
    LIBRARY_DIR,
    MACHINE,
    SIM_ARITHMETIC,
    SIM_PACED,
)
from jax_npu.runtime.machine import npus
from jax_npu.runtime.paced import warn_of_stand_ins
from jax_npu.runtime.target import (
    DRIVERS,
    PACED,
    is_paced,
    npu_arithmetic,
    npu_device,
)
from xdna.machine_choice import chosen_machine

NO_CHIP = "this machine has no AMD XDNA NPU, see 'jax-npu doctor --backend npu'"
# Part of jit's cache key, so a jitted function retraces when the choice changes.
_context = jax.make_user_context(default_value=None)


@dataclass(frozen=True)
class Backend:
    """A backend and whether it runs here; `detail` is how, or the reason why not."""

    name: str
    available: bool
    detail: str


def backends() -> dict[str, Backend]:
    """Every backend by name, with whether it is available and how or why not."""
    return {name: look() for name, look in _BACKENDS.items()}


def backend(name: str) -> AbstractContextManager[None]:
    """Context manager: GEMMs traced inside run on backend `name`.

    They are those of `jax_npu` and, where products are offloaded, those of lax too.

    Args:
      name: `"npu"`, `"sim"`, `"host"`, `"xla"` or `"auto"`.

    Raises:
      ValueError: at once, if there is no such backend or it cannot run here.
    """
    resolve_backend(name)
    return _on_backend(name)


@contextmanager
def _on_backend(name: str) -> Iterator[None]:
    with _context(name), ExitStack() as stack:
        choice = current_choice()
        if choice is not None:  # products of lax are offloaded here
            choice = Choice.now(resolve_backend(name), choice.precision)
            stack.enter_context(choice.mark())
        yield


def resolve_backend(name: str | None = None) -> str:
    """The backend that a GEMM traced now runs on: never `"auto"`.

    The first of these that is set decides: `name`, the innermost `backend(...)`,
    `$JAX_NPU_BACKEND`, `"auto"`. The environment is read at trace time, so the next
    trace follows it; a function that jit has traced already does not.

    Raises:
      ValueError: if there is no such backend or it cannot run here.
    """
    wanted = name or _context.value or BACKEND.get() or BACKEND.default
    if wanted == "auto":
        return _auto()
    if wanted == PACED:
        raise ValueError(
            f"backend {PACED} is for benchmarks, as in 'gpt2-flax bench --backend "
            f"{PACED}'; a program of your own runs on it as backend sim with "
            f"{SIM_PACED.name}=1."
        )
    if wanted not in _BACKENDS:
        raise ValueError(
            f"backend must be one of {', '.join(CHOICES)}, got {wanted!r}; "
            f"pass another one, or correct ${BACKEND.name}."
        )
    _require(wanted, *(variable.get() for variable in _VARIABLES[wanted]))
    if is_paced(wanted):
        warn_of_stand_ins(_sim().detail)
    return wanted


@functools.lru_cache(maxsize=64)
def _require(wanted: str, *environment: str) -> None:
    """Requires that a backend runs here; asked again when its variables change."""
    # Only this one is looked at: looking at npu would load XRT for a host product.
    entry = _BACKENDS[wanted]()
    if not entry.available:
        runnable = ", ".join(e.name for e in backends().values() if e.available)
        raise ValueError(
            f"backend {wanted!r} cannot run here: {entry.detail}; "
            f"use one of {runnable}, auto."
        )


@functools.cache
def _auto() -> str:
    npu, host = _npu(), _host()
    if not (npu.available or host.available):
        raise ValueError(
            f"backend auto needs npu or host, and neither can run here (npu: "
            f"{npu.detail}; host: {host.detail}); fix one, or use backend xla."
        )
    choice = npu if npu.available else host
    reason = choice.detail
    if choice is host:
        reason += f"; npu: {npu.detail}"
    print(f"jax-npu: backend auto is {choice.name} ({reason})", file=sys.stderr)
    return choice.name


def _npu() -> Backend:
    try:
        library = extension.library_path(DRIVERS["npu"])
    except OSError:
        return Backend(
            "npu",
            False,
            "this jax-npu was built without XRT; install XRT with its headers and then "
            "jax-npu again, see 'jax-npu doctor'",
        )
    if error := extension.device_error(library):
        if error.startswith(extension.NO_XRT) and not npus():
            error = NO_CHIP
        return Backend("npu", False, error)
    from jax_npu.runtime.designs import built_design  # slow to import

    try:
        device = npu_device("npu")
        design = built_design(device)
    except (OSError, ValueError) as error:
        return Backend("npu", False, str(error))
    return Backend("npu", True, f"{device} through XRT, design {design.parent.name}")


def _sim() -> Backend:
    try:
        extension.library_path(DRIVERS["sim"])
        device = npu_device()
        arithmetic = npu_arithmetic("sim", device)
        machine = chosen_machine(device).name
        paced = is_paced()
    except (OSError, ValueError) as error:
        return Backend("sim", False, str(error))
    if paced:
        detail = f"virtual {device} at the pace of {machine}, which computes nothing"
        return Backend("sim", True, detail)
    detail = f"virtual {device} of {machine}, {arithmetic} arithmetic"
    return Backend("sim", True, detail)


def _host() -> Backend:
    try:
        return Backend("host", True, f"CPU, instruction set {extension.host_isa()}")
    except (OSError, ValueError) as error:
        return Backend("host", False, str(error))


def _xla() -> Backend:
    return Backend("xla", True, "stock jax.lax.dot_general, no custom call")


_BACKENDS = {"npu": _npu, "sim": _sim, "host": _host, "xla": _xla}
CHOICES = (*_BACKENDS, "auto")
_VARIABLES = {
    "npu": (LIBRARY_DIR, DEVICE, DESIGN),
    "sim": (LIBRARY_DIR, DEVICE, MACHINE, SIM_ARITHMETIC, SIM_PACED),
    "host": (LIBRARY_DIR, HOST_ISA),
    "xla": (),
}
