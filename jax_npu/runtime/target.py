"""The NPU that a custom call is for: its driver, its generation, its arithmetic."""

import hashlib

from jax_npu.runtime.environment import DEVICE, MACHINE, SIM_ARITHMETIC, SIM_PACED
from jax_npu.runtime.machine import chip
from xdna.arithmetics import arithmetic_of_chip, arithmetics_of
from xdna.machine_choice import machine, machines_device, profile_text

NPUS = tuple(DEVICE.choices)  # there is a design for each
# The backends whose custom call runs an NPU's instructions, with the library of their
# driver. The first is there where XRT was when the project was built.
DRIVERS = {"npu": "libnpu_xrt.so", "sim": "libnpu_sim.so"}
PACED = "sim-paced"  # what tables call backend `sim` in a process that is paced


def npu_device(backend: str = "sim") -> str:
    """The NPU that `backend` runs on; read when a program is lowered.

    `$JAX_NPU_DEVICE`; or else, for backend `npu`, the chip that is there, for any other
    the NPU of `$JAX_NPU_MACHINE`, and npu1 without either.

    Raises:
      ValueError: if a variable names none, or `$JAX_NPU_DEVICE` not the chip that is
        there or that of the machine.
    """
    if backend == "npu":
        found, which = chip(), "the chip here is"
    else:
        found, which = machines_device(), f"{MACHINE.name} has"
    if found is None:
        return DEVICE.choose()
    if not DEVICE.get():
        return found
    if found != (wanted := DEVICE.choose()):
        raise ValueError(
            f"{DEVICE.name} is {wanted}, and {which} {found}; correct or unset "
            f"{'it' if backend == 'npu' else 'one of them'}"
        )
    return found


def npu_machine(backend: str) -> str:
    """What `$JAX_NPU_MACHINE` says, as a hash, for a backend whose times it decides.

    Raises:
      ValueError: if there is no such machine.
    """
    if backend not in DRIVERS or not MACHINE.get():
        return ""
    profile = profile_text(machine(MACHINE.get()))
    return hashlib.sha256(profile.encode()).hexdigest()[:16]


def npu_arithmetic(backend: str, device: str) -> str:
    """The arithmetic that `backend` computes in: a name in `ARITHMETICS`.

    Raises:
      ValueError: if `$JAX_NPU_SIM_ARITHMETIC` names none of the device's.
    """
    if backend == "sim":
        return SIM_ARITHMETIC.choose(arithmetics_of(device))
    return arithmetic_of_chip(device)


def is_paced(backend: str = "sim") -> bool:
    """Whether results of that backend would be stand-ins in this process.

    Raises:
      ValueError: if `$JAX_NPU_SIM_PACED` is neither 0 nor 1.
    """
    return backend == "sim" and SIM_PACED.choose() == "1"


def shown_name(backend: str) -> str:
    """The backend's name in tables: that of a paced `sim` says so."""
    return PACED if is_paced(backend) else backend
