"""Flags of the machine: where the run computes."""

import re
from dataclasses import dataclass

from gpt2_flax.errors import InputError
from gpt2_flax.flags.field import flag

MESH_AXES = ("data", "model")


@dataclass(frozen=True)
class MachineFlags:
    backend: str | None = flag(
        None,
        "where matmuls run: npu, sim, host, xla or auto (default: $JAX_NPU_BACKEND, "
        "else auto)",
        str,
        brief="npu, sim, host, xla or auto (default: auto)",
        on_change="sums are rounded in another order, so losses will differ a little",
    )

    mesh: str = flag(
        "data=1,model=1",
        "devices: data divides each batch over so many of them, model the parameters "
        "and the optimizer's moments. With $JAX_COORDINATOR_ADDRESS (and "
        "$JAX_NUM_PROCESSES, $JAX_PROCESS_ID) they are those of several processes, "
        "which need a run folder that all of them see",
        on_change="sums are rounded in another order, so losses will differ a little",
    )

    def check(self) -> None:
        """resolve_backend checks the backend."""
        parse_mesh(self.mesh)


def parse_mesh(text: str) -> dict[str, int]:
    """The size of each axis of "data=2,model=1"; one that is left out has 1.

    Raises:
      InputError: it is of another form.
    """
    sizes = dict.fromkeys(MESH_AXES, 1)
    for part in text.split(","):
        found = re.fullmatch(r"\s*(data|model)\s*=\s*([1-9]\d*)\s*", part)
        if found is None:
            raise InputError(f"--mesh must be as in data=2,model=1, got {text}.")
        sizes[found[1]] = int(found[2])
    return sizes
