"""The one table of arithmetics: the ways in which cores multiply and add.

The C++ takes them as text: `aie/sim` the names, `xla_ffi/npu` the values of `operands`.
"""

from dataclasses import dataclass
from typing import Literal

from xdna.devices import device

# Errors are shares of the accumulated mass Σ|a||b| of an element of C. An element in
# the wrong place is off by about 1/√k of it.
F32_ERROR_BOUND = 1e-5  # products are exact, f32 sums of them err by little
# Eight values share an exponent, and each is off by up to 2^-7 of the largest, in A and
# in B. Rounding down errs in one direction only, by up to twice as much.
BFP16_ERROR_BOUND = 2.0**-6
BFP16_FLOOR_ERROR_BOUND = 2.0**-5


@dataclass(frozen=True)
class Arithmetic:
    """One way in which cores compute C = A B from bfloat16 operands."""

    name: str
    devices: tuple[str, ...]  # whole NPUs whose cores can compute it
    operands: Literal["f32", "bfp16"]  # how a checker must round A and B first
    error_bound: float  # for an element of C, as a share of its Σ|a||b|
    meaning: str  # one line


# In order of preference: the first that a device has is its default.
ARITHMETICS = {
    arithmetic.name: arithmetic
    for arithmetic in (
        Arithmetic(
            name="exact",
            devices=("npu1", "npu2"),
            operands="f32",
            error_bound=F32_ERROR_BOUND,
            meaning="npu1: its bf16 mac to the bit; npu2: one product at a time in f32",
        ),
        Arithmetic(
            name="bfp16",
            devices=("npu2",),
            operands="bfp16",
            error_bound=BFP16_ERROR_BOUND,
            meaning="eight values share an exponent, rounded to nearest even",
        ),
        Arithmetic(
            name="bfp16_floor",
            devices=("npu2",),
            # A fault of cores that should round to nearest: compared with what they
            # should compute.
            operands="bfp16",
            error_bound=BFP16_FLOOR_ERROR_BOUND,
            meaning="bfp16 with the fault of rounding downwards",
        ),
        Arithmetic(
            name="fast",
            devices=("npu1", "npu2"),
            operands="f32",
            error_bound=F32_ERROR_BOUND,
            meaning="f32 of this CPU",
        ),
    )
}

# How whole NPUs compute with our kernels: npu2 multiplies blocks of (8, 8, 8) with
# shared exponents only.
CHIPS = {"npu1": "exact", "npu2": "bfp16"}


def arithmetics_of(device_name: str) -> tuple[str, ...]:
    """Names of the arithmetics of an NPU, the default first.

    A part of an NPU, such as "npu1_2col", has those of the whole.

    Raises:
      ValueError: if there is no such device, or no arithmetic for it.
    """
    npu = device(device_name).name.split("_")[0]
    names = tuple(
        name for name, arithmetic in ARITHMETICS.items() if npu in arithmetic.devices
    )
    if not names:
        raise ValueError(f"no arithmetic of ARITHMETICS lists {npu} in its devices")
    return names


def arithmetic_of_chip(device_name: str) -> str:
    """The arithmetic in which our kernels compute on the chip itself.

    Raises:
      ValueError: if there is no such device, or it has no entry in CHIPS.
    """
    npu = device(device_name).name.split("_")[0]
    if npu not in CHIPS:
        raise ValueError(f"CHIPS has no arithmetic for {npu}")
    return CHIPS[npu]
