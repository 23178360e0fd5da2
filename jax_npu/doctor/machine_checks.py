"""Checks of the chip, the kernel and the user's limits: facts in, findings out."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from jax_npu.doctor import remedies
from jax_npu.doctor.finding import MISSING, OK, RELOGIN, SKIPPED, WARNING, Finding
from jax_npu.doctor.kernel import Kernel
from jax_npu.doctor.kernel_checks import no_npu
from jax_npu.energy import Available, reasons
from jax_npu.runtime.machine import Machine, User
from jax_npu.runtime.pinned_memory import HEAP_BYTES

SLOW_MODES = ("low", "medium")
FIRST_KERNEL = (6, 14)  # the first Linux that has the driver amdxdna


def check_chip(machine: Machine) -> Finding:
    npu = machine.npu
    if npu is None:
        return Finding("chip", MISSING, *no_npu(machine))
    found = f"{npu.kind}, {npu.name}, {npu.pci_id} at {npu.address}"
    return Finding("chip", OK, found)


def not_needed(finding: Finding) -> Finding:
    """The finding, skipped unless ok: without a chip it needs no remedy."""
    if finding.status == OK:
        return finding
    return replace(finding, status=SKIPPED, remedy="")


def check_driver(machine: Machine) -> Finding:
    bound = machine.npu.driver if machine.npu else None
    if bound and bound.startswith("amdxdna"):  # also amdxdna_legacy
        return Finding("driver", OK, f"{bound}, Linux {machine.kernel}")
    return Finding("driver", MISSING, *_unbound(machine, bound))


def _unbound(machine: Machine, bound: str | None) -> tuple[str, str]:
    """Why the driver is not bound to the chip, and the remedy."""
    if bound and machine.npu:
        address, drivers = machine.npu.address, "/sys/bus/pci/drivers"
        command = (
            f"echo {address} | sudo tee {drivers}/{bound}/unbind; "
            f"{remedies.LOAD_MODULE}; echo {address} | sudo tee {drivers}/amdxdna/bind"
        )
        return f"the chip is bound to {bound}, not to amdxdna", command
    if machine.module_loaded:
        return "amdxdna is loaded, but not bound to the chip", remedies.RELOAD_MODULE
    if machine.module_by_dkms and machine.secure_boot:
        found = (
            "amdxdna, by DKMS, is not loaded, and Secure Boot is on: it loads no "
            "module whose key the machine does not know"
        )
        return found, f"{remedies.LOAD_MODULE} || ({remedies.ENROL_KEY})"
    if machine.module_installed:
        return f"amdxdna is not loaded, Linux {machine.kernel}", remedies.LOAD_MODULE
    if _kernel_version(machine) < FIRST_KERNEL:
        found = f"Linux {machine.kernel or 'unknown'}; amdxdna came with 6.14"
        return found, remedies.newer_kernel(machine.distribution)
    found = f"Linux {machine.kernel} was built without amdxdna"
    return found, remedies.driver_module(machine.distribution)


def _kernel_version(machine: Machine) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", machine.kernel)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def check_firmware(machine: Machine) -> Finding:
    npu, files = machine.npu, machine.firmware_files
    if npu and npu.firmware:
        return Finding("firmware", OK, f"{npu.firmware}, running")
    if files:
        return Finding("firmware", OK, f"amdnpu/{files[0]}")
    if check_driver(machine).status == OK:
        return Finding("firmware", OK, "loaded by the driver, version unknown")
    remedy = remedies.firmware(machine.distribution)
    return Finding("firmware", MISSING, "no npu.sbin in /lib/firmware/amdnpu", remedy)


def check_device_file(machine: Machine) -> Finding:
    node = machine.node
    if node:
        found = f"{node.path}, group {node.group}, mode {node.mode:04o}"
        return Finding("device file", OK, found)
    if check_driver(machine).status == MISSING:
        return Finding("device file", SKIPPED, "comes with the driver")
    if machine.in_container:
        found = "this container has no /dev/accel/accel0, which its host must pass"
        return Finding("device file", MISSING, found, remedies.PASS_DEVICE)
    found = "the driver made no /dev/accel/accel0"
    return Finding("device file", MISSING, found, remedies.RELOAD_MODULE)


def check_group(machine: Machine, user: User) -> Finding:
    node = machine.node
    if user.uid == 0:
        return Finding("group", OK, "root may open every device file")
    if node is None:
        return _usual_group(machine, user)
    if _may_open(node.mode, user.uid == node.uid, node.gid in user.gids):
        who = f"group {node.group}" if node.gid in user.gids else f"mode {node.mode:o}"
        return Finding("group", OK, f"{user.name} can open it, through {who}")
    if node.mode & 0o060 != 0o060 or node.group == "root":
        found = f"group {node.group} and mode {node.mode:04o}: only root can open it"
        return Finding("group", MISSING, found, remedies.NODE_ACCESS)
    if user.name in machine.groups.get(node.group, ()):
        found = f"{user.name} was added to group {node.group} after this login"
        return Finding("group", MISSING, found, f"newgrp {node.group}")
    found = f"{user.name} is not in group {node.group}"
    return Finding("group", MISSING, found, _join(user, node.group))


def _usual_group(machine: Machine, user: User) -> Finding:
    """The check without a device file, which udev's rules will give to render."""
    if user.name in machine.groups.get("render", ()):
        return Finding("group", OK, f"{user.name} is in group render")
    found = f"{user.name} is not in group render, which usually owns the device file"
    return Finding("group", WARNING, found, _join(user, "render"))


def _join(user: User, group: str) -> str:
    return f"sudo usermod -aG {group} {user.name}{RELOGIN}"


def _may_open(mode: int, is_owner: bool, is_member: bool) -> bool:
    """Whether `mode` allows reading and writing."""
    # The kernel looks at the first class that applies (owner, group, others) only.
    shift = 6 if is_owner else 3 if is_member else 0
    return mode >> shift & 0o6 == 0o6


def check_memlock(machine: Machine, kernel: Kernel) -> Finding:
    """The limit of pinned memory, and whether the machine had too little of it."""
    limit = machine.memlock
    # drivers/accel/amdxdna/amdxdna_ubuf.c: the limit is no error there
    failed = kernel.last_logged(r"Failed to pin pages ret -?\d+")
    if limit == "unlimited" and failed:
        found = (
            f"{limit}, but the driver logged '{failed[0]}': the machine had no memory "
            "left to pin; close other programs, or keep less"
        )
        return Finding("memlock", WARNING, found, remedies.FEWER_IMAGES)
    if limit == "unlimited":
        return Finding("memlock", OK, limit)
    configured = machine.memlock_configured
    command = remedies.MEMLOCK_SYSTEMD if configured else remedies.MEMLOCK
    remedy = f"{command}{RELOGIN}"
    if machine.in_container:
        remedy = remedies.PASS_DEVICE
    if limit is None:
        return Finding("memlock", WARNING, "unknown: no /proc/self/limits", remedy)
    mebibytes = f"{int(limit) / 2**20:,.0f} MiB"
    if int(limit) < HEAP_BYTES:
        found = f"{mebibytes}; the NPU's heap alone locks 64 MiB"
        return Finding("memlock", MISSING, found, remedy)
    found = f"{mebibytes}; buffers beyond that will fail"
    return Finding("memlock", WARNING, found, remedy)


def check_power(power: Mapping[str, Any]) -> Iterator[Finding]:
    """The NPU's power mode and clocks, where its driver tells them."""
    clocks = power.get("clocks_mhz")
    if "mode" not in power or not isinstance(clocks, dict):
        return
    found = ", ".join([power["mode"], *(f"{n} {mhz} MHz" for n, mhz in clocks.items())])
    if power["mode"] in SLOW_MODES:
        found += "; times are longer than those of 'jax-npu plan'"
        yield Finding("power", WARNING, found, remedies.FAST_MODE)
    else:
        yield Finding("power", OK, found)


def check_energy(energy: Available) -> Finding:
    """What joules are measured with; no backend needs it."""
    locked = next((one for one in energy.missing if one.remedy), None)
    if locked:
        return Finding("energy", WARNING, f"{locked.reason}; optional", locked.remedy)
    if energy.sources:
        return Finding("energy", OK, ", ".join(energy.sources))
    return Finding("energy", SKIPPED, reasons(energy.missing))
