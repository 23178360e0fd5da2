"""A design and its stream on the virtual NPU, with the user's kernels and buffers."""

import argparse
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp

from jax_npu.commands.input_output import (
    empty_array,
    read_array,
    read_design,
    read_words,
    write_array,
)
from jax_npu.commands.simulation.design_kernels import kernels_of
from jax_npu.commands.simulation.loaded_designs import loaded_designs
from jax_npu.commands.simulation.run_files import RunFiles
from jax_npu.commands.simulation.timed_run import TimedFor, print_report, run
from xdna.dialect.aie import DeviceOp
from xdna.load.configuration import configuration
from xdna.simulator import VirtualNpu


def simulate_design(arguments: argparse.Namespace) -> None:
    module = read_design(arguments.design, arguments.design_name)
    device = _device_of(module, arguments.design)
    if arguments.device not in (None, device):
        raise ValueError(
            f"{arguments.design} is for {device}, not for {arguments.device}; leave "
            "--device out, or give the design for it"
        )
    words = read_words(arguments.words)
    target = TimedFor.of(arguments, device)
    outputs, buffers = [], []
    for flag, spec in arguments.buffers or []:
        if flag == "--out":
            outputs.append(empty_array(spec))
        buffers.append(outputs[-1][1] if flag == "--out" else read_array(spec))
    text = configuration(module, times=target.times)
    title = str(arguments.design)
    files = RunFiles.of(
        arguments, title=title, configuration=text, module=module, notes=target.notes
    )
    designs = loaded_designs(arguments.pdi or (), target.times)
    npu = VirtualNpu(
        text,
        arguments.arithmetic,
        arguments.b_column_major,
        kernels_of(arguments, "".join([text, *designs.values()])),
        designs=designs,
    )
    report = run(npu, [(words, buffers)], files, arguments.until)
    if report is None:
        return  # its outputs are not complete; --dump has them as they are
    for path, array in outputs:
        write_array(path, array)
    print_report(report, target, {}, title, arguments.json)


def _device_of(module: ModuleOp, path: Path) -> str:
    names = [op.device_name for op in module.walk() if isinstance(op, DeviceOp)]
    if not names:
        raise ValueError(f"{path} has no aie.device")
    return names[0]
