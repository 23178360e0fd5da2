"""`jax-npu`: the NPU's program from the shell.

jax-npu design --device npu1 --tile 64 64 32 -o design.mlir
jax-npu check design.mlir
jax-npu plan --device npu1 -m 256 -k 768 -n 2304
jax-npu insts --device npu1 -m 256 -k 768 -n 2304 -o insts.bin
jax-npu disasm insts.bin
jax-npu simulate --gemm 256 768 2304 --check
jax-npu calibrate
jax-npu machines 7940hs
jax-npu forecast --model gpt2 --machine 7940hs
jax-npu build --device npu1
jax-npu doctor
jax-npu report
jax-npu bench gemm --backend host --against xla
"""

import argparse
import os
import sys
from importlib import metadata

from jax_npu.commands.bench import add_bench_command
from jax_npu.commands.build import add_build_command
from jax_npu.commands.calibrate import add_calibrate_command
from jax_npu.commands.designs.design import add_check_command, add_design_command
from jax_npu.commands.doctor import add_doctor_command
from jax_npu.commands.forecasting.forecast import add_forecast_command
from jax_npu.commands.instructions import add_disasm_command, add_insts_command
from jax_npu.commands.machines import add_machines_command
from jax_npu.commands.plan import add_plan_command
from jax_npu.commands.report import add_report_command
from jax_npu.commands.shell.completion import add_completion_command
from jax_npu.commands.shell.parser import Commands, Parser
from jax_npu.commands.simulation.simulate import add_simulate_command
from xdna.simulator import Trap

ABOUT = "JAX's matrix products on AMD's XDNA NPUs. COMMAND --help lists its flags."
GROUPS = {  # in the order of --help
    "this machine:": (add_doctor_command, add_build_command, add_report_command),
    "what it gains:": (
        add_forecast_command,
        add_machines_command,
        add_bench_command,
        add_calibrate_command,
    ),
    "the NPU's program, without an NPU:": (
        add_plan_command,
        add_design_command,
        add_check_command,
        add_insts_command,
        add_disasm_command,
        add_simulate_command,
    ),
    "the shell:": (add_completion_command,),
}
GUIDE = """\
jax-npu doctor               what this machine has for JAX's products
jax-npu forecast             what an NPU would do for a training step
jax-npu simulate --gemm 256 768 2304     a product on the virtual NPU
jax-npu --help               all commands; COMMAND --help, its flags
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command; errors are one line on stderr and exit code 2, traps 1."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        print(GUIDE, end="")
        return 0
    arguments = make_parser(argv).parse_args(argv)
    exit_code = 0
    try:
        exit_code = arguments.command(arguments) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has closed it; nothing more can be printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Trap as trap:
        print(f"jax-npu: {trap}", file=sys.stderr)
        return 1
    except (OSError, ValueError, MemoryError) as error:
        what: object = error
        if isinstance(error, FileNotFoundError) and error.filename:
            what = f"there is no {error.filename}; check the path"
        print(f"jax-npu: {what}", file=sys.stderr)
        return 2
    return exit_code


def make_parser(argv: list[str] | None = None) -> Parser:
    """The parser of every command; each sets `command`, a function of the arguments.

    It ends the process if `argv` begins with a word that is no command.
    """
    parser = Parser(
        prog="jax-npu",
        usage="jax-npu COMMAND ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"jax-npu {metadata.version('jax-npu')}"
    )
    commands = Commands(parser)
    for title, adders in GROUPS.items():
        commands.add_group(title, adders)
    parser.description = f"{ABOUT}\n\n{commands.guide()}"
    if wrong := commands.unknown(argv or []):
        parser.error(wrong)
    return parser


if __name__ == "__main__":
    sys.exit(main())
