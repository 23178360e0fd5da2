"""Flags of the commands that print times: the machine, its clock, the compiler."""

import argparse
from dataclasses import replace

from xdna.machine_choice import (
    MACHINE_VARIABLE,
    chosen_machine,
    machine,
    machines_device,
)
from xdna.machines import MACHINES, Machine
from xdna.timing import COMPILERS

LARGEST_GHZ, LEAST_HZ = 100.0, 1e6  # a clock is in GHz up to here, in Hz from there on


Flags = argparse.ArgumentParser | argparse._ArgumentGroup


def add_machine_flags(parser: Flags) -> None:
    """`--machine` and `--clock`."""
    parser.add_argument(
        "--machine",
        metavar="NAME|FILE.toml",
        help=f"machine that times hold for: {', '.join(MACHINES)}, or a profile of "
        f"your own (default: ${MACHINE_VARIABLE}, or the device's)",
    )
    parser.add_argument(
        "--clock",
        type=_clock_hz,
        metavar="GHZ",
        help="clock of the array instead of the machine's: 1.6 or 1.6e9, GHz or Hz",
    )


def add_compiler_flag(parser: Flags) -> None:
    parser.add_argument(
        "--compiler",
        choices=COMPILERS,
        default=COMPILERS[0],
        help=f"compiler that kernels' times are of (default: {COMPILERS[0]})",
    )


def device_of(arguments: argparse.Namespace) -> str:
    """`--device`, else that of the machine, else npu1.

    Raises:
      ValueError: if there is no such machine.
    """
    if arguments.device is not None:
        return str(arguments.device)
    if arguments.machine is not None:
        return machine(arguments.machine).device
    return machines_device() or "npu1"


def machine_of(arguments: argparse.Namespace, device: str) -> Machine:
    """The machine that times of `device` hold for, at the clock that was asked for.

    Raises:
      ValueError: if there is no such machine, or its NPU is of another generation.
    """
    chosen = chosen_machine(device, arguments.machine)
    if arguments.clock is None:
        return chosen
    return replace(
        chosen,
        name=f"{chosen.name} at {arguments.clock / 1e9:g} GHz",
        clock_hz=arguments.clock,
        sources={**chosen.sources, "clock_hz": "given by --clock"},
    )


def _clock_hz(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if 0 < value <= LARGEST_GHZ:
        return value * 1e9
    if LEAST_HZ <= value < float("inf"):
        return value
    raise argparse.ArgumentTypeError(
        f"must be a clock in GHz, such as 1.6, or in Hz, such as 1.6e9, got {text!r}"
    )
