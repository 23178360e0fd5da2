"""What a report contains about the machine, and what it hides about its owner."""

import os
import platform
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from jax_npu.doctor.facts import Facts
from jax_npu.doctor.power import read_power
from jax_npu.runtime.attached_npus import devices
from jax_npu.runtime.designs import built_design
from jax_npu.runtime.machine import CPU_FILE, ROOT, field_of, text
from xdna.gemm.artifact import read_artifact, self_test_record
from xdna.machine_choice import profile_text
from xdna.machines import DEFAULT_MACHINES, MACHINES

PACKAGES = "jax-npu", "jax", "jaxlib", "numpy", "ml_dtypes", "xdsl"
# Model and firmware of the machine; its serial numbers are in files that are not read.
DMI_FIELDS = "sys_vendor", "product_name", "bios_version", "bios_date"
LOG_LINES = 40  # of the driver
MEASURED = "measured by jax-npu report"
NOT_PERSONAL = {"root", "localhost", "archlinux"}


def describe_machine(facts: Facts, backend: str, root: Path = ROOT) -> dict[str, Any]:
    """Versions, machine, environment, NPUs; of backend `npu` its design and profile."""
    tools, machine = facts.software, facts.machine
    return {
        "versions": {
            **{name: metadata.version(name) for name in PACKAGES},
            "python": platform.python_version(),
            "libc": " ".join(platform.libc_ver()),
            "linux": machine.kernel,
            "distribution": " ".join(machine.distribution),
            "xrt": tools.xrt.version if tools.xrt else None,
            "xrt plugin": tools.plugin.version if tools.plugin else None,
            "mlir-aie": tools.mlir_aie,
            "peano": tools.peano,
        },
        "machine": {
            "cpu": field_of(root / CPU_FILE, "model name"),
            "cores": len(os.sched_getaffinity(0)),
            "memory": field_of(root / "proc/meminfo", "MemTotal"),
            "power_profile": text(root / "sys/firmware/acpi/platform_profile"),
            **{name: text(root / "sys/class/dmi/id" / name) for name in DMI_FIELDS},
        },
        "energy": {
            "sources": facts.energy.sources,
            "missing": [str(one) for one in facts.energy.missing],
        },
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("JAX_NPU_")
        },
        "devices": [asdict(device) for device in devices()],
        "driver": _driver(facts, root),
        "design": describe_design(facts) if backend == "npu" else None,
        "profile": _profile(facts, root) if backend == "npu" else None,
    }


def _driver(facts: Facts, root: Path) -> dict[str, Any] | None:
    """The chip's driver and firmware, what they are set to, and the IOMMU's state."""
    npu, kernel = facts.machine.npu, facts.kernel
    if npu is None:
        return None
    module = root / "sys/module/amdxdna"
    return {
        "name": npu.driver,
        "version": text(module / "version"),  # only modules out of the kernel's tree
        "source": text(module / "srcversion"),
        "firmware_running": npu.firmware,
        "firmware_files": facts.machine.firmware_files,
        "power": read_power(root),
        "iommu": {
            "groups": kernel.num_iommu_groups,
            "arguments": [one for one in kernel.arguments if "iommu" in one],
        },
        "memlock": facts.machine.memlock,
        "log": kernel.log[-LOG_LINES:],
    }


def describe_design(facts: Facts) -> dict[str, Any] | None:
    """The built design with its tools, and the self-test that makes it trusted.

    `self_test` is None as long as it has not passed on a chip.
    """
    npu = facts.machine.npu
    if npu is None:
        return None
    try:
        folder = built_design(npu.kind).parent
        artifact = asdict(read_artifact(folder, npu.kind))
        return {**artifact, "self_test": self_test_record(folder)}
    except (OSError, ValueError) as error:
        return {"problem": str(error)}


def scrubber(facts: Facts) -> Callable[[Any], Any]:
    """A function that removes the user's, the host's and the home folder's name."""
    host = platform.node()
    names = {facts.user.name, os.environ.get("SUDO_USER", ""), host, host.split(".")[0]}
    names -= {"", facts.machine.distribution[0], *NOT_PERSONAL}
    home = str(Path.home())
    rules = [(re.compile(re.escape(home) + r"(?![\w-])"), "~")] if home != "/" else []
    for name in sorted(names, key=len, reverse=True):
        # A name next to a letter or a digit is part of another word.
        word = rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"
        rules.append((re.compile(word, re.IGNORECASE), "<name>"))

    def scrub(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: scrub(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [scrub(item) for item in value]
        if isinstance(value, str):
            for pattern, replacement in rules:
                value = pattern.sub(replacement, value)
        return value

    return scrub


def _profile(facts: Facts, root: Path) -> str | None:
    """The machine as a profile, for `--machine`.

    What is not read here is the base's. So is the launch: a product's time does not
    tell the host's part of it from the NPU's.
    """
    npu = facts.machine.npu
    if npu is None:
        return None
    base = MACHINES[DEFAULT_MACHINES[npu.kind]]
    cores = field_of(root / CPU_FILE, "cpu cores")  # without a second thread's
    read: dict[str, Any] = {"model": field_of(root / CPU_FILE, "model name")}
    read["cores"] = int(cores) if cores and cores.isdecimal() else None
    read = {name: value for name, value in read.items() if value}
    sources = {f"cpu.{name}": MEASURED for name in read}
    return profile_text(
        replace(
            base,
            cpu=replace(base.cpu, **read),
            sources={**base.sources, **sources},
        )
    )
