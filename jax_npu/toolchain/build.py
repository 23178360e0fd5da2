"""The array's design, compiled to the xclbin that an NPU is given.

It is built once: a folder of the user's cache is named by a hash of everything that
goes into it, and renamed into place when it is complete.
"""

import contextlib
import errno
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from xdsl.dialects import func

import jax_npu
from jax_npu.runtime.cache.folder import make_folder
from jax_npu.runtime.designs import designs_folder
from jax_npu.toolchain.compilers import (
    KERNEL_NAMES,
    PLACEHOLDERS,
    Compilers,
    find_compilers,
    kernel_sources,
)
from jax_npu.toolchain.object_file import data_bytes, program_bytes
from jax_npu.toolchain.options import (
    KERNELS_OBJECT,
    KERNELS_SOURCE,
    LOWERED_FILES,
    aiecc_command,
    environment,
    kernel_command,
)
from xdna.check.whole_design import check_design
from xdna.gemm.array import GemmArray
from xdna.gemm.artifact import (
    FORMAT,
    MLIR_FILE,
    XCLBIN_FILE,
    check_artifact,
    check_placement,
    describe,
    design_text,
    write_artifact,
)
from xdna.gemm.design import gemm_design

LOG_FILE = "build.log"
STEPS = "compile the kernels", "compile the array, some minutes"
UNTRUSTED = (
    "not trusted before its self-test has passed on the chip; run: jax-npu doctor "
    "--backend npu"
)
PRINTED_LINES = 20  # the last ones of a tool that failed
T = TypeVar("T")


@dataclass(frozen=True)
class Build:
    """What goes into a design, and the name of the folder that follows from it."""

    array: GemmArray
    text: str
    sources: dict[str, bytes]
    tools: Compilers

    @property
    def name(self) -> str:
        content = {
            "format": FORMAT,
            "device": self.array.device_name,
            "text": self.text,
            "sources": {name: source.hex() for name, source in self.sources.items()},
            "versions": self.tools.versions,
            "commands": build_commands(
                self.array, replace(PLACEHOLDERS, release=self.tools.release)
            ),
        }
        key = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        return f"{self.array.device_name}-{key.hexdigest()[:16]}"


def build_design(array: GemmArray, console: Console, force: bool = False) -> Path:
    """The folder with the design of `array`, built unless the cache has it.

    Raises:
      OSError: if tools are missing or fail, or the cache cannot be written.
      ValueError: if mlir-aie is of a version that designs are not written for.
    """
    tools = _timed(console, "find mlir-aie and Peano", find_compilers)
    _print_pair(tools, console)
    syntax = tools.release.syntax
    text = _timed(console, "make the design", partial(design_text, array, syntax))
    build = Build(array, text, kernel_sources(), tools)
    folder = make_folder(designs_folder()) / build.name
    replaces = force
    if folder.exists() and not force:
        try:
            check_artifact(folder, array)
        except ValueError as error:
            console.print(f"built again: {error}")
            replaces = True
        else:
            console.print(f"built already: {folder}")
            return folder
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f".{build.name}."
    ) as work:
        result = _make(build, Path(work), console)
        is_ours = _publish(result, folder, replaces)
    _kept_log(folder).unlink(missing_ok=True)
    console.print(UNTRUSTED)
    console.print(f"{'built' if is_ours else 'built by another run'}: {folder}")
    return folder


def _print_pair(tools: Compilers, console: Console) -> None:
    if tools.are_tested:
        console.print(f"{tools}: the pair that designs were tried with")
    else:
        console.print(
            f"{tools}: designs were tried with {tools.release.pair}; other builds of "
            "Peano have miscompiled GEMMs, and only the self-test on the chip tells"
        )


def build_commands(array: GemmArray, tools: Compilers) -> list[list[str]]:
    return [kernel_command(array, tools), aiecc_command(tools)]


def _timed(console: Console, what: str, action: Callable[[], T]) -> T:
    """Runs a step: a spinner on a terminal, and a line with its time in the end."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    start = time.perf_counter()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        progress.add_task(what)
        result = action()
    console.print(f"{what}: {time.perf_counter() - start:.1f} s")
    return result


def _make(build: Build, work: Path, console: Console) -> Path:
    """The finished folder, in `work`; the log of a failure is kept beside the cache's.

    Raises:
      OSError: with the step that failed and where its log is.
    """
    (work / MLIR_FILE).write_text(build.text, encoding="utf-8")
    for name, source in build.sources.items():
        (work / name).write_bytes(source)
    includes = "".join(f'#include "{name}"\n' for name in build.sources)
    (work / KERNELS_SOURCE).write_text(includes, encoding="utf-8")
    compile_kernels, compile_array = (
        partial(_timed, console, what, partial(_run, command, build.tools, work))
        for what, command in zip(STEPS, build_commands(build.array, build.tools))
    )
    try:
        compile_kernels()
        _check_kernels(build, work)
        compile_array()
        return _collect(build, work)
    except (OSError, ValueError) as error:
        kept = _kept_log(work.parent / build.name)
        if (work / LOG_FILE).exists():
            shutil.copyfile(work / LOG_FILE, kept)
        raise OSError(f"{error}; the log is {kept}") from None


def _check_kernels(build: Build, work: Path) -> None:
    """Compares the compiled kernels' sizes with the room that cores leave them.

    Raises:
      ValueError: if there is less, minutes before the linker or the loader would
        report it.
    """
    design, kernels = gemm_design(build.array), work / KERNELS_OBJECT
    called = {op.sym_name.data for op in design.walk() if isinstance(op, func.FuncOp)}
    program = program_bytes(kernels, KERNEL_NAMES - called)
    for violation in check_design(
        design,
        program_bytes={KERNELS_OBJECT: program},
        data_bytes={KERNELS_OBJECT: data_bytes(kernels)},
    ):
        raise ValueError(str(violation))


def _kept_log(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


def _run(command: list[str], tools: Compilers, work: Path) -> None:
    with (work / LOG_FILE).open("ab") as log:
        log.write(f"$ {shlex.join(command)}\n".encode())
        log.flush()
        process = subprocess.Popen(
            command,
            cwd=work,
            env=environment(tools),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that its own children can be ended with it
        )
        try:
            _, errors = process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        log.write(errors)
    if process.returncode:
        text = errors or (work / LOG_FILE).read_bytes()
        for line in text.decode(errors="replace").splitlines()[-PRINTED_LINES:]:
            print(f"  {line}", file=sys.stderr)
        raise OSError(
            f"{Path(command[0]).name} failed with exit code {process.returncode}"
        )


def _collect(build: Build, work: Path) -> Path:
    """What is kept of a build, after the check that parameters are where they must be.

    Raises:
      OSError: if `aiecc` left something out.
      ValueError: if it moved a buffer or a lock.
    """
    lowered = LOWERED_FILES[build.tools.release.syntax]
    for name in (XCLBIN_FILE, lowered):
        if not (work / name).is_file():
            raise OSError(f"aiecc ended well, but wrote no {name}")
    check_placement(build.text, (work / lowered).read_text(encoding="utf-8"))
    versions = {"jax-npu": jax_npu.__version__, **dict(build.tools.versions)}
    xclbin = (work / XCLBIN_FILE).read_bytes()
    result = work / "result"
    result.mkdir()
    write_artifact(result, describe(build.array, xclbin, versions))
    for name in (MLIR_FILE, XCLBIN_FILE, LOG_FILE):
        (work / name).rename(result / name)
    return result


def _publish(result: Path, folder: Path, replaces: bool) -> bool:
    """Renames into place; False where another build of the same was first and stays."""
    number = 0
    while True:
        try:
            result.rename(folder)
            return True
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        if not replaces:
            return False
        with contextlib.suppress(FileNotFoundError):  # another build took it away
            folder.rename(result.with_name(f"replaced-{number}"))
        number += 1
