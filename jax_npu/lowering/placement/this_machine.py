"""The machine of a forecast: a profile, or this one, whose CPU is measured."""

from dataclasses import replace

from jax_npu.lowering.placement.cpu_table import measured_table
from jax_npu.runtime.machine import chip
from xdna.machine_choice import chosen_machine, machine, machines_device
from xdna.machines import Machine
from xdna.placement.host_table import HostTable

THIS = "this"


def machine_and_table(name: str) -> tuple[Machine, HostTable | None]:
    """The machine with that name, and the table of its CPU where it is this one.

    This machine's NPU has the times of the profile that `$JAX_NPU_MACHINE` names, or of
    the default for the chip. Without a chip, they are those of an npu1 that is not
    there, and the machine's name says so.

    Raises:
      ValueError: if there is no such machine.
    """
    if name != THIS:
        return machine(name), None
    table, found = measured_table(), chip()
    like = chosen_machine(found or machines_device() or "npu1")
    npu = "its NPU" if found else f"no NPU: that of {like.name}"
    sources = {
        **like.sources,
        "cpu": "measured",
        "power": "not known",
        "cpu.gflops_per_core": "measured",
        "cpu.memory_bytes_per_second": "measured",
    }
    one = replace(
        like, name=f"this machine ({npu})", cpu=table.cpu(like.cpu), sources=sources
    )
    return one, table
