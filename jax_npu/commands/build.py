"""`jax-npu build`: the array's design, compiled once for an NPU."""

import argparse
import shlex
import sys
from typing import Any

from rich.console import Console

from jax_npu.runtime.designs import gemm_array
from jax_npu.runtime.environment import DEVICE
from jax_npu.runtime.target import NPUS
from jax_npu.toolchain.build import build_commands, build_design
from jax_npu.toolchain.compilers import locate, to_install
from xdna.gemm.array import GemmArray


def add_build_command(commands: Any) -> None:
    parser = commands.add_parser("build", help="compile the design for this NPU")
    parser.add_argument(
        "--device",
        help=f"{' or '.join(NPUS)} (default: $JAX_NPU_DEVICE, or npu1)",
    )
    parser.add_argument(
        "--force", action="store_true", help="build also what is built already"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the commands, run nothing"
    )
    parser.set_defaults(command=_build)


def _build(arguments: argparse.Namespace) -> None:
    device = arguments.device or DEVICE.choose()
    if device not in NPUS:
        raise ValueError(f"device must be one of {', '.join(NPUS)}, got {device!r}")
    array = gemm_array(device)
    if arguments.dry_run:
        _dry_run(array)
        return
    try:
        build_design(array, _console(), arguments.force)
    except KeyboardInterrupt:
        print("jax-npu: interrupted; nothing was kept", file=sys.stderr)
        raise SystemExit(130) from None


def _console() -> Console:
    return Console(markup=False, highlight=False, soft_wrap=True)


def _dry_run(array: GemmArray) -> None:
    tools, missing = locate()
    if missing:
        note = f"<...> stands for what is missing; {to_install(missing)}"
        print(f"jax-npu: {note}", file=sys.stderr)
    for command in build_commands(array, tools):
        print(shlex.join(command))
