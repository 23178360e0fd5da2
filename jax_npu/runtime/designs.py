"""Finds the xclbin for a chip, and writes the design for the virtual NPU."""

import functools
import hashlib
from datetime import UTC, datetime
from pathlib import Path

from jax_npu.runtime.attached_npus import devices
from jax_npu.runtime.cache.folder import cache_folder, write_once
from jax_npu.runtime.cache.remembered import remembered
from jax_npu.runtime.environment import CHECK, DESIGN
from jax_npu.runtime.target import is_paced
from xdna.gemm.array import GemmArray, default_array
from xdna.gemm.artifact import (
    check_artifact,
    design_text,
    record_self_test,
    self_test_record,
)
from xdna.machine_choice import chosen_machine
from xdna.machines import Machine
from xdna.timing import timing


@functools.cache
def gemm_array(device: str) -> GemmArray:
    """The design that runs every GEMM on that device."""
    return default_array(device)


def design_key(backend: str, device: str) -> str:
    """A hash of the design that instructions for `backend` are made for now.

    They write to fixed places in it, and no other design can run them. That of `sim`
    holds the times of the chosen machine, too. One that is paced runs no program that
    was made for results, and the other way round.
    """
    if backend == "sim":
        key = _simulated_key(device, chosen_machine(device))
        return f"{key}-paced" if is_paced() else key
    return _chips_design_key(device)


@functools.cache
def _chips_design_key(device: str) -> str:
    array = gemm_array(device)
    return remembered(f"chip {array}", lambda: _hash(design_text(array).encode()))


def simulated_design(device: str) -> Path:
    """The file with the design as the virtual NPU loads it, in the user's cache.

    Its name holds the device and a hash of its content, so that it never changes.

    Raises:
      OSError: if the cache cannot be written.
    """
    machine = chosen_machine(device)
    key = _simulated_key(device, machine)
    path = cache_folder() / f"{device}-{key}.cfg"
    if path.is_file() and _hash(path.read_bytes()) == key:
        return path
    return write_once(path, _simulated(device, machine))


@functools.lru_cache(maxsize=16)
def _simulated_key(device: str, machine: Machine) -> str:
    question = f"sim {gemm_array(device)} {timing(device, machine)}"
    return remembered(question, lambda: _hash(_simulated(device, machine)))


@functools.lru_cache(maxsize=16)
def _simulated(device: str, machine: Machine) -> bytes:
    from xdna.gemm.design import gemm_design
    from xdna.load.configuration import configuration

    times = timing(device, machine)
    return configuration(gemm_design(gemm_array(device)), times=times).encode()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def designs_folder() -> Path:
    """The folder where `jax-npu build` keeps what it built, one folder a design."""
    return cache_folder() / "designs"


def built_design(device: str) -> Path:
    """The xclbin for that NPU: in `$JAX_NPU_DESIGN`, or the newest of the cache's.

    It is looked for once a process: an NPU's contexts are few, and one is kept.

    Raises:
      FileNotFoundError: if none is built.
      ValueError: if what is built is not what streams are made for now.
    """
    return _built_design(device, DESIGN.get() or None)


def trust_design(device: str, arithmetic: str) -> None:
    """Records that the built design's self-test has passed on the chip that is there.

    Raises:
      OSError, ValueError: if no design is found, or the record cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record_self_test(built_design(device).parent, _chip(device), now, arithmetic)


def require_trusted(device: str) -> None:
    """Refuses a design that is here and has not passed its self-test on this chip.

    Raises:
      ValueError: with the command that runs the self-test.
    """
    try:
        folder = built_design(device).parent
    except (OSError, ValueError):
        return  # lowered for another machine, or refused where it would be loaded
    record = self_test_record(folder)
    if record is None or record.get("chip") != _chip(device):
        came = "it has not" if record is None else f"it has on {record.get('chip')}"
        raise ValueError(
            f"{CHECK.name}=off needs a design whose self-test has passed on this chip "
            f"({_chip(device)}), and {came}; unset {CHECK.name} and run: "
            "jax-npu doctor --backend npu"
        )


def _chip(device: str) -> str:
    """The attached chip, with what a kernel's results also depend on."""
    for one in devices():
        if one.kind == device:
            return f"{one.name}, driver {one.driver}, firmware {one.firmware}"
    return f"no {device}"


@functools.cache
def _built_design(device: str, chosen: str | None) -> Path:
    if chosen is not None:
        try:
            return check_artifact(Path(chosen), gemm_array(device))
        except ValueError as error:
            raise ValueError(f"{error}, or unset {DESIGN.name}") from None
    built = list(designs_folder().glob(f"{device}-*/"))
    built.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    refusals = []
    for folder in built:
        try:
            return check_artifact(folder, gemm_array(device))
        except ValueError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
    raise FileNotFoundError(
        f"no design for {device} is built; run: jax-npu build --device {device}"
    )
