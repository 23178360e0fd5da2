"""Which NPU a custom call is for: its driver, its generation, its arithmetic."""

import os

from jax_npu.runtime.machine import chip

DEVICE_VARIABLE = "JAX_NPU_DEVICE"
ARITHMETIC_VARIABLE = "JAX_NPU_SIM_ARITHMETIC"

# NPUs that there is a design for, and the arithmetics that the virtual one computes in.
DEVICES = {
    "npu1": ("exact", "fast"),
    "npu2": ("exact", "bfp16", "bfp16_floor", "fast"),
}
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
    if found is None or os.environ.get(DEVICE_VARIABLE):
        device = _chosen(DEVICE_VARIABLE, tuple(DEVICES))
        if found not in (None, device):
            raise ValueError(
                f"{DEVICE_VARIABLE} is {device}, and the chip here is {found}; correct "
                "or unset it"
            )
        return device
    return found


def npu_arithmetic(backend: str, device: str) -> str:
    """The arithmetic of `backend`: a name in `DEVICES`.

    Raises:
      ValueError: if `$JAX_NPU_SIM_ARITHMETIC` names none of the device's.
    """
    if backend == "sim":
        return _chosen(ARITHMETIC_VARIABLE, DEVICES[device])
    return "exact" if device == "npu1" else "bfp16"


def _chosen(variable: str, known: tuple[str, ...]) -> str:
    """The environment variable's value, or the first known one."""
    value = os.environ.get(variable) or known[0]
    if value not in known:
        raise ValueError(
            f"{variable} must be one of {', '.join(known)}, got {value!r}; correct or "
            "unset it"
        )
    return value
