"""What a product costs on both sides of a machine."""

from dataclasses import dataclass

from xdna.machines import Power
from xdna.placement.energy import joules
from xdna.placement.host_cost import HostModel
from xdna.placement.npu_cost import NpuModel
from xdna.placement.product import HOST, NPU, Product


@dataclass(frozen=True)
class Costs:
    """Both sides of a machine.

    Args:
      npu, host: its NPU with what the host does around it, and its CPU.
      power: its watts.
      memory_bytes_per_second: at which the cores pass over memory.
    """

    npu: NpuModel
    host: HostModel
    power: Power
    memory_bytes_per_second: float

    def alone(self, product: Product, objective: str) -> str:
        """The side for a product of which nothing else is known.

        That where it takes less, one part after the other.
        """
        cost = self.npu.cost(product)
        if cost is None:
            return HOST
        seconds = self.host.seconds(product)
        if objective == "time":
            return NPU if cost.seconds <= seconds else HOST
        array = cost.launch + cost.array
        on_npu = joules(
            self.power, cost.seconds, cost.seconds - array - cost.submit, array
        )
        on_host = joules(self.power, seconds, seconds, 0.0)
        assert on_npu is not None  # see `require_power`
        assert on_host is not None
        return NPU if on_npu <= on_host else HOST


def require_power(name: str, power: Power) -> None:
    """
    Raises:
      ValueError: if the watts of a machine are not known.
    """
    if joules(power, 0.0, 0.0, 0.0) is None:
        raise ValueError(
            f"objective energy needs the watts of {name}, which nobody has published; "
            "give them under [power] in a profile (jax-npu machines NAME --toml), or "
            "choose objective time"
        )
