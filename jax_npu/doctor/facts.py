"""The facts that the doctor reads, from this machine or from another's file tree."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jax_npu.backend_choice import backends
from jax_npu.doctor.installation import Installation, inspect_installation
from jax_npu.doctor.kernel import Kernel, read_kernel
from jax_npu.doctor.power import read_power
from jax_npu.doctor.software import (
    Interpreter,
    Software,
    find_software,
    this_interpreter,
)
from jax_npu.energy import Available, available
from jax_npu.runtime.machine import ROOT, Machine, User, chip, examine, this_user
from jax_npu.toolchain.compilers import PEANO_VARIABLE


@dataclass(frozen=True)
class Facts:
    """What the diagnosis reads; `installation` is None for another machine's tree."""

    machine: Machine
    user: User
    software: Software
    interpreter: Interpreter
    energy: Available
    installation: Installation | None
    kernel: Kernel
    power: Mapping[str, Any] = field(default_factory=dict)  # of this machine's NPU


def read_facts(root: Path = ROOT, backend: str = "auto") -> Facts:
    """The facts of this machine, or of another's tree, then without the installation.

    Runs the self-test of the NPU if it can run, or of `sim` if that is the backend.
    """
    interpreter = this_interpreter()
    peano = os.environ.get(PEANO_VARIABLE, "")
    here = root.resolve() == ROOT
    return Facts(
        machine=examine(root),
        user=this_user(),
        software=find_software(interpreter, root, peano),
        interpreter=interpreter,
        energy=available(root),
        installation=(
            inspect_installation(chip(root), tested_backend=_to_test(backend))
            if here
            else None
        ),
        kernel=read_kernel(root),
        power=read_power(root) if here and chip(root) else {},
    )


def _to_test(backend: str) -> str | None:
    choice = "sim" if backend == "sim" else "npu"
    return choice if backends()[choice].available else None
