"""The kernels of a user's design: functions in Python, or sources in C++."""

import argparse
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from xdna.simulator import Kernel
from xdna.simulator.compiled import SUFFIXES, Given, compiled_kernels
from xdna.simulator.kernel import description

GIVEN = re.compile(r"(\w+)=(\d+)(?::([rwb-]+))?")


def kernels_of(arguments: argparse.Namespace, configuration: str) -> list[Kernel]:
    """The kernels that the flags of `simulate` name, for a loaded design.

    Raises:
      ValueError: in one line, if they are not what the flags say.
    """
    path: Path | None = arguments.kernels
    is_compiled = path is not None and path.suffix in SUFFIXES
    if not is_compiled and (arguments.kernel or arguments.kernel_flag):
        raise ValueError("--kernel and --kernel-flag need --kernels with a file in C++")
    if path is None:
        return []
    if not is_compiled:
        return _in_python(path)
    found = compiled_kernels(
        path,
        configuration,
        arguments.arithmetic,
        arguments.kernel_flag or (),
        dict(map(_given, arguments.kernel or ())),
    )
    for name in found.assumed:
        print(
            f"jax-npu: a call of {name} counts as what its loads and stores take at "
            f"least; --kernel {name}=CYCLES gives its time",
            file=sys.stderr,
        )
    return list(found.kernels)


def _given(text: str) -> tuple[str, Given]:
    match = GIVEN.fullmatch(text)
    if match is None:
        raise ValueError(
            f"--kernel must be NAME=CYCLES or NAME=CYCLES:ACCESSES, such as "
            f"scale=100:rw, got {text!r}"
        )
    return match[1], Given(int(match[2]), match[3] or "")


def _in_python(path: Path) -> list[Kernel]:
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise ValueError(f"{path} is not a Python file with KERNELS")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's code
        raise ValueError(f"{path} does not load: {description(error)}") from error
    kernels = getattr(module, "KERNELS", None)
    if not isinstance(kernels, list | tuple) or not all(
        isinstance(kernel, Kernel) for kernel in kernels
    ):
        raise ValueError(f"{path} must define KERNELS, a list of xdna.simulator.Kernel")
    return list(kernels)
