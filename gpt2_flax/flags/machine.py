"""Flags of the machine: where the run computes."""

from dataclasses import dataclass

from gpt2_flax.flags.field import flag


@dataclass(frozen=True)
class MachineFlags:
    backend: str | None = flag(
        None,
        "where matmuls run (default: $JAX_NPU_BACKEND, else auto)",
        str,
        on_change="sums are rounded in another order, so losses will differ a little",
    )

    def check(self) -> None:
        """resolve_backend checks the backend."""
