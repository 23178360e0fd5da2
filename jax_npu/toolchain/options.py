"""The exact commands that build a design, by the syntax of mlir-aie's releases.

`aiecc` was written anew between 1.3.4 and 1.4: other names of what is wanted, Peano by
default, and its lowered MLIR only on demand. What mlir-aie compiles kernels with is the
same in both (programming_examples/makefile-common).
"""

import os

from jax_npu.toolchain.compilers import Compilers
from xdna.gemm.array import GemmArray
from xdna.gemm.artifact import MLIR_FILE, XCLBIN_FILE

KERNELS_SOURCE = "gemm_kernels.cc"  # includes them all
KERNELS_OBJECT = "gemm_kernels.o"  # as the design names it
WORK_FOLDER = "aiecc"

PEANO_FLAGS = {
    "1.3": (
        "-O2",
        "-std=c++20",
        "-Wno-parentheses",
        "-Wno-attributes",
        "-Wno-macro-redefined",
        "-Wno-empty-body",
        "-Wno-missing-template-arg-list-after-template-kw",
        "-DNDEBUG",
        # The cores are linked with --gc-sections: a kernel that none calls costs
        # nothing of their 16 KB.
        "-ffunction-sections",
    ),
    "1.4": (
        "-O2",
        "-std=c++20",
        "-Wno-parentheses",
        "-Wno-attributes",
        "-Wno-macro-redefined",
        "-Wno-empty-body",
        "-Wno-missing-template-arg-list-after-template-kw",
        "-DNDEBUG",
        "-ffunction-sections",
    ),
}
# Nothing asks for instructions (--aie-generate-npu-insts, --get-npu-insts): that
# translates runtime sequences, and the design has none, because every stream is made
# when a program is lowered. Nothing else of the xclbin depends on one: its kernel
# always takes five buffers.
AIECC_FLAGS = {
    "1.3": (
        "--aie-generate-xclbin",
        "--no-compile-host",
        "--no-xchesscc",
        "--no-xbridge",
    ),
    "1.4": ("--get-xclbin", "--get-input-with-addresses"),
}
# MLIR with addresses: 1.4 writes it beside the xclbin, into --output-dir.
LOWERED_FILES = {
    "1.3": f"{WORK_FOLDER}/input_with_addresses.mlir",
    "1.4": "input_with_addresses.mlir",
}


def kernel_command(array: GemmArray, tools: Compilers) -> list[str]:
    """Compiles the kernels for one core tile, in the folder of the build."""
    macros = [f"DIM_M={array.part_m}", f"DIM_K={array.k}", f"DIM_N={array.n}"]
    if array.b_column_major:
        macros.append("B_COL_MAJ")
    if array.device.mmul_shape == (8, 8, 8):
        # AIE2P multiplies blocks of this shape only with shared exponents (bfp16);
        # aie_api has it for bfloat16 behind the second macro.
        macros += ["MMUL_8X8X8", "AIE_API_EMULATE_BFLOAT16_MMUL_WITH_BFP16"]
    return [
        str(tools.peano / "bin" / "clang++"),
        f"--target={array.device.triple}",
        *PEANO_FLAGS[tools.release.syntax],
        *(f"-D{macro}" for macro in macros),
        "-I",
        str(tools.mlir_aie / "include"),
        "-c",
        KERNELS_SOURCE,
        "-o",
        KERNELS_OBJECT,
    ]


def aiecc_command(tools: Compilers) -> list[str]:
    """Makes the xclbin of the design, in the folder of the build."""
    return [
        str(tools.aiecc),
        *AIECC_FLAGS[tools.release.syntax],
        # The default scheme moves buffers between banks, and with them the parameters.
        "--alloc-scheme=basic-sequential",
        f"--peano={tools.peano}",
        f"--tmpdir={WORK_FOLDER}",
        "--xclbin-kernel-name=MLIR_AIE",
        f"--xclbin-name={XCLBIN_FILE}",
        "--verbose",
        MLIR_FILE,
    ]


def environment(tools: Compilers) -> dict[str, str]:
    """The environment of `aiecc`, which looks for xclbinutil there: 1.3 on PATH."""
    path = os.environ.get("PATH", os.defpath)
    return os.environ | {
        "PATH": f"{path}{os.pathsep}{tools.xclbinutil.parent}",
        "AIE_XCLBINUTIL": str(tools.xclbinutil),
    }
