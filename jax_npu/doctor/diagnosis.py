"""The diagnosis: can a backend run on this machine, and if not, what fixes it.

It collects the findings of `machine_checks.py` and `software_checks.py`, in the order
to fix them, and decides whether the backend can run. `facts.py` reads the facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jax_npu.backend_choice import CHOICES, Backend
from jax_npu.doctor import remedies
from jax_npu.doctor.facts import Facts
from jax_npu.doctor.finding import MISSING, Finding
from jax_npu.doctor.kernel_checks import check_iommu, check_kernel
from jax_npu.doctor.machine_checks import (
    check_chip,
    check_device_file,
    check_driver,
    check_energy,
    check_firmware,
    check_group,
    check_memlock,
    check_power,
    not_needed,
)
from jax_npu.doctor.software_checks import (
    check_build,
    check_host,
    check_plugin,
    check_pyxrt,
    check_self_test,
    check_xrt,
)

HOST_CHECKS = ("xla ffi", "cpu")
SIM_CHECKS = ("self-test", "xla ffi")


@dataclass(frozen=True)
class Diagnosis:
    verdict: str
    can_run: bool
    backend: str
    checks: tuple[Finding, ...]


def diagnose(
    facts: Facts, backend: str, known: Mapping[str, Backend] | None = None
) -> Diagnosis:
    """Checks everything and decides for one backend.

    Args:
      known: `jax_npu.backends()`, which overrides every finding but a failed self-test;
        None lets the findings alone decide.

    Raises:
      ValueError: if there is no such backend.
    """
    if backend not in CHOICES:
        raise ValueError(
            f"backend must be one of {', '.join(CHOICES)}, got {backend!r}; pass "
            "another one with --backend, or correct $JAX_NPU_BACKEND"
        )
    checks = check(facts)
    choice = backend
    if backend == "auto":
        npu_runs, _ = _judge(checks, "npu", known)
        choice = "npu" if npu_runs else "host"
    can_run, reason = _judge(checks, choice, known)
    verdict = f"backend {backend} {'can' if can_run else 'cannot'} run"
    if choice != backend:
        verdict += f", on {choice}"
        if can_run and choice == "host":
            _, why_not_npu = _judge(checks, "npu", known)
            reason = why_not_npu and f"for npu, {why_not_npu}"
    if reason:
        verdict += f": {reason}"
    return Diagnosis(verdict, can_run, backend, tuple(checks))


def check(facts: Facts) -> list[Finding]:
    """All findings, in the order in which to fix them."""
    machine, tools = facts.machine, facts.software
    for_npu = [
        check_kernel(machine, facts.kernel),
        check_driver(machine),
        check_iommu(machine, facts.kernel),
        check_firmware(machine),
        check_device_file(machine),
        check_group(machine, facts.user),
        check_memlock(machine, facts.kernel),
        check_xrt(machine, tools.xrt),
        check_plugin(machine, tools),
        check_pyxrt(machine, tools, facts.interpreter),
        *check_build(machine, tools, facts.installation),
    ]
    if machine.npu is None:
        for_npu = [not_needed(finding) for finding in for_npu]
    return [
        check_chip(machine),
        *for_npu,
        *check_power(facts.power),
        *check_self_test(facts.installation),
        *check_host(machine, facts.installation),
        check_energy(facts.energy),
    ]


def _judge(
    checks: list[Finding], backend: str, known: Mapping[str, Backend] | None
) -> tuple[bool, str]:
    """Whether the backend can run, and if not, what to do first or the reason."""
    names = {
        "npu": [one.name for one in checks],
        "sim": SIM_CHECKS,
        "host": HOST_CHECKS,
    }
    relevant = [one for one in checks if one.name in names.get(backend, ())]
    first = next((one for one in relevant if one.status == MISSING), None)
    todo = f"first do: {first.remedy}" if first else ""
    if backend == "npu" and first and first.remedy == remedies.OTHER_BACKEND:
        todo = first.found  # no command adds a chip
    if known is None:
        return first is None, todo
    failed = next((one for one in relevant if one.name == "self-test"), None)
    if known[backend].available and failed and failed.status == MISSING:
        return False, f"its self-test fails: {failed.found}"
    if known[backend].available:
        return True, ""
    return False, todo or known[backend].detail
