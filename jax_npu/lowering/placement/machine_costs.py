"""The costs of products on the machine that a backend runs on."""

import functools

from jax_npu.lowering.placement.cpu_table import measured_table
from jax_npu.lowering.settings import Settings
from jax_npu.runtime.designs import gemm_array
from jax_npu.runtime.target import is_paced
from xdna.arithmetics import arithmetic_of_chip
from xdna.machine_choice import chosen_machine
from xdna.machines import Machine
from xdna.placement.costs import Costs, require_power
from xdna.placement.host_cost import ProfileHost
from xdna.placement.host_side import HostSide
from xdna.placement.host_table import HostTable
from xdna.placement.npu_cost import NpuModel
from xdna.timing import timing


def costs_of(backend: str, settings: Settings) -> Costs:
    """Both sides of the machine for which products are lowered now.

    The virtual NPU is in the machine of `$JAX_NPU_MACHINE`, whose CPU is a profile's.
    A chip, and a paced NPU, is beside the CPU here, which is measured at the first use.

    Raises:
      ValueError: if the objective is energy, and the machine's watts are unknown.
    """
    machine = chosen_machine(settings.device)
    is_here = backend == "npu" or is_paced(backend)
    table = measured_table() if is_here else None
    costs = costs_on(machine, table)
    if settings.objective == "energy":
        require_power(machine.name, machine.power)
    return costs


@functools.lru_cache(maxsize=16)
def costs_on(machine: Machine, table: HostTable | None = None) -> Costs:
    """The costs on a machine.

    Args:
      table: of measured products, for the CPU here; else the CPU is the profile's.
    """
    times = timing(machine.device, machine)
    arithmetic = arithmetic_of_chip(machine.device)
    cpu = machine.cpu
    if table is not None:
        cpu = table.cpu(machine.cpu)
    npu = NpuModel(gemm_array(machine.device), times, arithmetic, HostSide.of(cpu))
    host = table or ProfileHost(cpu)
    return Costs(npu, host, machine.power, cpu.memory_bytes_per_second)
