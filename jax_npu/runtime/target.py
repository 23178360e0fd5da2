"""The NPU that a custom call is for: its driver, its generation, its arithmetic."""

from jax_npu.runtime.environment import DEVICE, SIM_ARITHMETIC
from jax_npu.runtime.machine import chip
from xdna.arithmetics import arithmetic_of_chip, arithmetics_of

NPUS = tuple(DEVICE.choices)  # there is a design for each
# The backends whose custom call runs an NPU's instructions, with the library of their
# driver. The first is there where XRT was when the project was built.
DRIVERS = {"npu": "libnpu_xrt.so", "sim": "libnpu_sim.so"}


def npu_device(backend: str = "sim") -> str:
    """The NPU that `backend` runs on; read when a program is lowered.

    `$JAX_NPU_DEVICE`; or else, for backend `npu`, the chip that is there, and npu1 for
    any other.

    Raises:
      ValueError: if the variable names none, or not the chip that is there.
    """
    found = chip() if backend == "npu" else None
    if found is None:
        return DEVICE.choose()
    if not DEVICE.get():
        return found
    if found != (wanted := DEVICE.choose()):
        raise ValueError(
            f"{DEVICE.name} is {wanted}, and the chip here is {found}; correct or "
            "unset it"
        )
    return found


def npu_arithmetic(backend: str, device: str) -> str:
    """The arithmetic that `backend` computes in: a name in `ARITHMETICS`.

    Raises:
      ValueError: if `$JAX_NPU_SIM_ARITHMETIC` names none of the device's.
    """
    if backend == "sim":
        return SIM_ARITHMETIC.choose(arithmetics_of(device))
    return arithmetic_of_chip(device)
