"""Every environment variable of the project: its name, its values, its meaning.

Most that Python reads are read here; `reader` names the file that reads each of the
others, and a test compares the names and defaults there with this table.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from xdna.arithmetics import ARITHMETICS

PREFIX = "JAX_NPU_"


@dataclass(frozen=True)
class Variable:
    """An environment variable; unset and empty are the same.

    Args:
      choices: the only values, each with its meaning; without them any text is taken.
      default: the value that an unset variable stands for, or a description of it.
      reader: the file that reads it.
    """

    name: str
    meaning: str
    default: str = "unset"
    choices: Mapping[str, str] = field(default_factory=dict)
    reader: str = "jax_npu/runtime/environment.py"

    def get(self) -> str:
        """The value, or "" where the variable is not set."""
        return os.environ.get(self.name, "")

    def choose(self, known: Mapping[str, str] | tuple[str, ...] = ()) -> str:
        """The value, which must be one of `known` or `choices`; unset, the first.

        Raises:
          ValueError: for any other value.
        """
        names = tuple(known or self.choices)
        value = self.get() or names[0]
        if value not in names:
            raise ValueError(
                f"{self.name} must be one of {', '.join(names)}, got {value!r}; "
                "correct or unset it"
            )
        return value


BACKEND = Variable(
    "JAX_NPU_BACKEND",
    "backend of products for which neither an argument nor a context names one",
    default="auto",
)
OFFLOAD = Variable(
    "JAX_NPU_OFFLOAD",
    "whether products of programs that were not written for jax_npu are offloaded",
    default="0",
    choices={"0": "those that `jax_npu.offload` names", "1": "all of the process"},
)
DEVICE = Variable(
    "JAX_NPU_DEVICE",
    "NPU generation that programs are lowered for",
    default="the chip that is there; for backend sim the machine's, else npu1",
    choices={"npu1": "XDNA, 4 columns", "npu2": "XDNA 2, 8 columns"},
)
MACHINE = Variable(
    "JAX_NPU_MACHINE",
    "machine that the times of backend sim and of commands hold for: a name that "
    "`jax-npu machines` lists, or a .toml file",
    default="7940hs for npu1, krackan-350 for npu2",
    reader="aie/xdna/machine_choice.py",
)
DESIGN = Variable(
    "JAX_NPU_DESIGN",
    "folder that `jax-npu build` made, for backend npu",
    default="the newest one in the cache",
)
CHECK = Variable(
    "JAX_NPU_CHECK",
    "which results of an NPU are compared with their operands",
    default="sample",
    choices={
        "sample": "the first run of every shape, then at least one of any 32 in a row",
        "first": "the first run of every shape",
        "always": "every run",
        "off": "none",
    },
)
STRICT = Variable(
    "JAX_NPU_STRICT",
    "whether what an NPU computes wrong, or a product of a dtype that it lacks, is an "
    "error",
    default="0",
    choices={"0": "the host or XLA computes the product", "1": "it is an error"},
)
WATCHDOG_SECONDS = Variable(
    "JAX_NPU_WATCHDOG_SECONDS",
    "seconds after which the driver gives up a run that does not end",
    default="120",
    reader="xla_ffi/base/environment.h",
)
IMAGE_CACHE_MB = Variable(
    "JAX_NPU_IMAGE_CACHE_MB",
    "MB of packed operands that an NPU keeps for other products of the same values; "
    "0 keeps none",
    default="512",
    reader="xla_ffi/base/environment.h",
)
HOST_ISA = Variable(
    "JAX_NPU_HOST_ISA",
    "instruction set of the host GEMM",
    default="the fastest that this CPU runs",
    choices={
        "amx": "AMX tiles with bf16",
        "avx512bf16": "AVX512-BF16",
        "avx512": "AVX-512",
        "avx2": "AVX2 and FMA",
        "portable": "any CPU",
    },
    reader="xla_ffi/base/environment.h",
)
SMALL_PRODUCTS = Variable(
    "JAX_NPU_SMALL_PRODUCTS",
    "how backend host computes a product that takes less time than a call",
    default="xla",
    choices={
        "xla": "as XLA's dot of operands rounded to bf16",
        "call": "as any other product, so that it is counted",
    },
)
PLACE = Variable(
    "JAX_NPU_PLACE",
    "where products of a backend with an NPU run; see docs/forecast.md",
    default="auto for backend npu, and for sim at the pace of a chip; else npu",
    choices={
        "auto": "each where the program ends soonest, by a model of both sides",
        "npu": "all on the NPU",
        "host": "all on the host",
    },
)
OBJECTIVE = Variable(
    "JAX_NPU_OBJECTIVE",
    "what `auto` places products for",
    default="time",
    choices={
        "time": "the earliest end of the program",
        "energy": "the fewest joules; needs a machine whose watts are known",
    },
)
LIBRARY_DIR = Variable(
    "JAX_NPU_LIBRARY_DIR",
    "folder to load the compiled libraries from, such as a build with sanitizers",
    default="where the package is installed",
    reader="aie/xdna/find_library.py",
)
SIM_ARITHMETIC = Variable(
    "JAX_NPU_SIM_ARITHMETIC",
    "how the cores of the virtual NPU compute",
    default="exact",
    choices={name: one.meaning for name, one in ARITHMETICS.items()},
)
SIM_CHECKS = Variable(
    "JAX_NPU_SIM_CHECKS",
    "whether the virtual XRT refuses misuse instead of doing what the hardware does",
    default="on",
    choices={"on": "misuse is an error", "off": "misuse has its effect"},
    reader="aie/sim/xrt/process.cc",
)
SIM_PACED = Variable(
    "JAX_NPU_SIM_PACED",
    "what runs of the virtual NPU do",
    default="0",
    choices={
        "0": "they compute",
        "1": "they take the time of the machine's chip, and results are NaN",
    },
    reader="aie/sim/xrt/process.cc",
)
SIM_TRACE = Variable(
    "JAX_NPU_SIM_TRACE",
    "file for a trace of the virtual NPU, written when the process ends",
    reader="aie/sim/xrt/process.cc",
)
SIM_FAULTS = Variable(
    "JAX_NPU_SIM_FAULTS",
    "which calls of the virtual XRT fail, see aie/sim/README.md",
    reader="aie/sim/xrt/faults.cc",
)
XRT_TREE = Variable(
    "JAX_NPU_XRT_TREE",
    "folder that .ci/unpack-xrt filled: XRT to build the driver and run tests with",
    default="build/xrt, where the machine has no XRT",
    reader="CMakeLists.txt",
)
STRESS_SECONDS = Variable(
    "JAX_NPU_STRESS_SECONDS",
    "seconds for which the test of many threads runs",
    default="1",
    reader="tests/jax_npu/runtime/test_threads.py",
)

VARIABLES = tuple(value for value in vars().values() if isinstance(value, Variable))


def unknown_variables() -> dict[str, str]:
    """Variables of this process with our prefix that nobody reads.

    Each comes with the known name that is nearest to it, or "".
    """
    known = {variable.name.removeprefix(PREFIX) for variable in VARIABLES}
    set_here = {x.removeprefix(PREFIX) for x in os.environ if x.startswith(PREFIX)}
    if set_here <= known:
        return {}
    from difflib import get_close_matches  # no process without a mistake needs it

    nearest = {x: get_close_matches(x, known, 1) for x in sorted(set_here - known)}
    return {PREFIX + x: "".join(PREFIX + near for near in nearest[x]) for x in nearest}
