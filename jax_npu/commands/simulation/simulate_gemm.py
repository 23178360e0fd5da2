"""A GEMM by our design on the virtual NPU."""

import argparse
import statistics
import sys
import time
from typing import Any

from jax_npu.commands.array_flags import array_of
from jax_npu.commands.machine_flags import device_of
from jax_npu.commands.product_size import require_memory_to_simulate
from jax_npu.commands.simulation.run_files import RunFiles
from jax_npu.commands.simulation.timed_run import TimedFor, print_report, run
from xdna.gemm.design import gemm_design
from xdna.gemm.tiling import make_plan
from xdna.load.configuration import configuration
from xdna.simulator import Trap, VirtualNpu
from xdna.simulator.gemm import (
    largest_error,
    random_operands,
    result,
    submissions,
)


def simulate_gemm(arguments: argparse.Namespace) -> None:
    device, batch = device_of(arguments), arguments.batch or 1
    repeat = arguments.repeat or 1
    if min(batch, repeat) < 1:
        raise ValueError(
            f"--batch and --repeat must be at least 1, got {batch}, {repeat}"
        )
    if min(arguments.gemm) > 0:  # the plan refuses others
        require_memory_to_simulate(batch, *arguments.gemm)
    arguments.device = device
    array = array_of(arguments)
    plan = make_plan(array, batch, *arguments.gemm)
    a, b = random_operands(plan)
    target = TimedFor.of(arguments, device)
    m, k, n = arguments.gemm
    title = f"{batch} x ({m}, {k}) x ({k}, {n}), tile ({array.m}, {array.k}, {array.n})"
    module = gemm_design(array)
    text = configuration(module, times=target.times)
    files = RunFiles.of(
        arguments,
        title=title,
        configuration=text,
        module=module,
        argument_names="BAC" if plan.swapped else "ABC",
        notes=target.notes,
    )
    walls = []
    for _ in range(repeat):
        npu = VirtualNpu(text, arguments.arithmetic, arguments.b_column_major)
        runs = list(submissions(plan, a, b))
        start = time.perf_counter()
        submitted = [(one.words, one.buffers) for one in runs]
        ran = run(npu, submitted, files, arguments.until)
        if ran is None:
            return
        report = ran
        walls.append(time.perf_counter() - start)
    further: dict[str, Any] = {}
    if arguments.check:
        error, bound = largest_error(a, b, result(plan, runs), arguments.arithmetic)
        further["check"] = {"largest_error": error, "bound": bound}
    if arguments.repeat:
        further["wall_seconds"] = statistics.median(walls)
    print_report(report, target, further, title, arguments.json)
    for notice in plan.notices:
        print(f"jax-npu: {notice}", file=sys.stderr)
    if arguments.check and not error <= bound:
        raise Trap(
            f"the result is wrong: an error of {error:.1e} of its accumulated mass, "
            f"at most {bound:.0e} is due to {arguments.arithmetic} arithmetic"
        )
