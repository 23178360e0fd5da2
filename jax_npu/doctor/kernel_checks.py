"""Checks of the IOMMU, of virtual machines, and of what the NPU's driver has logged."""

from jax_npu.doctor import remedies
from jax_npu.doctor.finding import MISSING, OK, WARNING, Finding
from jax_npu.doctor.kernel import Kernel
from jax_npu.runtime.machine import Machine

# Arguments that turn the IOMMU off, without which the driver opens no device (-19):
# https://github.com/amd/xdna-driver/issues/704.
OFF = ("amd_iommu=off", "iommu=off", "iommu=soft")
# Arguments for untranslated addresses, which drivers before June 2026 cannot use:
# https://github.com/amd/xdna-driver/pull/1445.
UNTRANSLATED = ("iommu=pt", "iommu.passthrough=1", "amd_iommu=pt")
# Kernels in which the driver cannot open the NPU, with the error that programs get.
BAD_KERNELS = {"6.17.0-23": "EOPNOTSUPP, -95"}


def check_iommu(machine: Machine, kernel: Kernel) -> Finding:
    argument = next((one for one in OFF if one in kernel.arguments), None)
    if argument:
        found = f"the IOMMU is off, by {argument} on the kernel's command line"
        remedy = remedies.without_argument(argument, machine.distribution)
        return Finding("iommu", MISSING, found, remedy)
    if kernel.num_iommu_groups == 0:
        found = "the IOMMU is off: the kernel has no groups of devices; the BIOS has it"
        return Finding("iommu", MISSING, found, remedies.ENABLE_IN_BIOS)
    failed = kernel.last_logged(r"SVA bind device failed, ret (-\d+)")
    argument = next((one for one in UNTRANSLATED if one in kernel.arguments), None)
    if failed:
        found = f"the driver logged '{failed[0]}': it cannot use the IOMMU"
        remedy = remedies.newer_kernel(machine.distribution)
        if argument:
            found += f", which {argument} leaves untranslated"
            remedy = remedies.without_argument(argument, machine.distribution)
        return Finding("iommu", MISSING, found, remedy)
    if argument:
        found = f"{argument}; drivers before June 2026 need translated addresses"
        remedy = remedies.without_argument(argument, machine.distribution)
        return Finding("iommu", WARNING, found, remedy)
    if kernel.num_iommu_groups:
        return Finding("iommu", OK, f"on, {kernel.num_iommu_groups} groups")
    return Finding("iommu", OK, "nothing says that it is off")


def check_kernel(machine: Machine, kernel: Kernel) -> Finding:
    """Whether the kernel can drive the NPU, by its version and its log."""
    release = machine.kernel
    bad = next((one for one in BAD_KERNELS if _is_release(release, one)), None)
    if bad:
        found = f"Linux {release} cannot open the NPU ({BAD_KERNELS[bad]})"
        remedy = remedies.newer_kernel(machine.distribution)
        return Finding("kernel", MISSING, found, remedy)
    refused = kernel.last_logged(
        r"Incompatible firmware protocol major (\d+) minor (\d+)"
    )
    is_bound = machine.npu is not None and machine.npu.driver is not None
    if refused and not is_bound:
        found = (
            f"the driver of Linux {release} refuses the firmware's protocol "
            f"{refused[1]}.{refused[2]}: the one is too old for the other"
        )
        remedy = remedies.newer_kernel(machine.distribution)
        return Finding("kernel", MISSING, found, remedy)
    return Finding("kernel", OK, f"Linux {release}" if release else "unknown")


def _is_release(release: str, known: str) -> bool:
    """Whether a release is that one of a distribution, of whatever flavour."""
    return release == known or release.startswith(f"{known}-")


def no_npu(machine: Machine) -> tuple[str, str]:
    """Why this machine shows no NPU, and the remedy."""
    if machine.newer:
        found = f"{machine.newer} is newer than npu1 and npu2: not supported yet"
        return found, remedies.OTHER_BACKEND
    if "microsoft" in machine.kernel.lower():
        found = "WSL shows no NPU to Linux: run Linux itself, or another backend"
        return found, remedies.OTHER_BACKEND
    if "hypervisor" in machine.cpu_flags:
        found = (
            "no AMD XDNA NPU on the PCI bus of this virtual machine; its host has to "
            "pass it through"
        )
        return found, remedies.OTHER_BACKEND
    if machine.cpu_vendor == "AuthenticAMD":
        found = "no AMD XDNA NPU on the PCI bus; the BIOS can hide it"
        return found, remedies.ENABLE_IN_BIOS
    return "no AMD XDNA NPU on the PCI bus", remedies.OTHER_BACKEND
