"""Checks of XRT, the compilers and this installation: facts in, findings out."""

import re
from collections.abc import Iterator

from jax_npu.doctor import remedies
from jax_npu.doctor.finding import MISSING, OK, WARNING, Finding
from jax_npu.doctor.installation import Installation
from jax_npu.doctor.software import Interpreter, Library, Software
from jax_npu.runtime.environment import DESIGN, HOST_ISA
from jax_npu.runtime.machine import Machine
from jax_npu.toolchain.compilers import INSTALL
from xdna.releases import SYNTAXES, release_of

TESTED_XRT = (2, 25)
# Instruction sets that the host GEMM can use.
CPU_FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16")


def check_xrt(machine: Machine, xrt: Library | None) -> Finding:
    if xrt is None:
        remedy = remedies.install("runtime", machine.distribution)
        return Finding("xrt", MISSING, "no libxrt_coreutil.so.2", remedy)
    found = f"{xrt.version} in {xrt.folder}"
    version = _version(xrt)
    if version and version < TESTED_XRT:
        found += f"; tested with {TESTED_XRT[0]}.{TESTED_XRT[1]}"
        return Finding("xrt", WARNING, found, f"see {remedies.XDNA_README}")
    return Finding("xrt", OK, found)


def check_plugin(machine: Machine, tools: Software) -> Finding:
    name, xrt, plugin = "xrt plugin", tools.xrt, tools.plugin
    remedy = remedies.install("runtime", machine.distribution)
    if plugin is None:
        found = "no libxrt_driver_xdna.so.2, XRT's plugin for NPUs"
        return Finding(name, MISSING, found, remedy)
    found = f"{plugin.version} in {plugin.folder}"
    versions = (_version(plugin), xrt and _version(xrt))
    if all(versions) and versions[0] != versions[1]:
        return Finding(name, WARNING, f"{found}, not XRT's version", remedy)
    if xrt and xrt.folder != plugin.folder:
        return Finding(name, WARNING, f"{found}, not XRT's folder", remedy)
    return Finding(name, OK, found)


def _version(library: Library) -> tuple[int, int] | None:
    """Major and minor version, or None where no file names them."""
    found = re.match(r"(\d+)\.(\d+)", library.version)
    return (int(found[1]), int(found[2])) if found else None


def check_pyxrt(machine: Machine, tools: Software, interpreter: Interpreter) -> Finding:
    """The check of XRT's Python module, without which jax_npu.devices() reads sysfs."""
    this = f"Python {interpreter.version}"
    if not tools.pyxrt:
        remedy = remedies.install("bindings", machine.distribution)
        return Finding("pyxrt", WARNING, "not installed; optional", remedy)
    for one in tools.pyxrt:
        if one.python in (None, interpreter.version):
            folder = one.path.rpartition("/")[0]
            if folder in interpreter.path:
                return Finding("pyxrt", OK, f"for this {this}")
            found = f"for this {this}, but not in a folder of its path; optional"
            remedy = f"ln -s {one.path} {interpreter.site_packages}/"
            return Finding("pyxrt", WARNING, found, remedy)
    other = tools.pyxrt[0].python
    found = f"for Python {other}, this is {this}; optional"
    remedy = f"python{other} -m venv --system-site-packages .venv"
    return Finding("pyxrt", WARNING, found, remedy)


def check_build(
    machine: Machine, tools: Software, installation: Installation | None
) -> Iterator[Finding]:
    """The checks of the NPU's library, of its design and of the design's compilers."""
    status = WARNING  # only a design that is still to be built needs the compilers
    if installation:
        yield _npu_library(machine, installation)
        if installation.design.problem:
            status = MISSING
    yield _mlir_aie(tools.mlir_aie, status)
    if tools.peano:
        yield Finding("peano", OK, tools.peano)
    else:
        found = "not installed; compiles the cores' kernels"
        yield Finding("peano", status, found, INSTALL["peano"])
    yield _xclbinutil(machine, tools.xclbinutil, status)
    if installation:
        yield _design(machine, installation)


def check_self_test(installation: Installation | None) -> Iterator[Finding]:
    """The result of the self-test on the NPU or the virtual one, if it was run."""
    part = installation.self_test if installation else None
    if part is None:
        return
    if part.problem:
        yield Finding("self-test", MISSING, part.problem, part.remedy)
    else:
        yield Finding("self-test", OK, part.detail)


def _npu_library(machine: Machine, installation: Installation) -> Finding:
    part = installation.npu_library
    if not part.problem:
        return Finding("npu library", OK, part.detail)
    headers = remedies.install("headers", machine.distribution)
    joint = " ; then " if headers.startswith("see") else " && "
    remedy = f"{headers}{joint}{remedies.REINSTALL}  # in jax-npu's sources"
    return Finding("npu library", MISSING, "not built: XRT's headers missing", remedy)


def _mlir_aie(version: str | None, status: str) -> Finding:
    if version is None:
        found = "not installed; builds the design"
        return Finding("mlir-aie", status, found, INSTALL["aiecc"])
    if release_of(version) is None:
        found = f"{version}; the design is written for {' and '.join(SYNTAXES)}"
        return Finding("mlir-aie", status, found, INSTALL["aiecc"])
    return Finding("mlir-aie", OK, version)


def _xclbinutil(machine: Machine, path: str | None, status: str) -> Finding:
    if path:
        return Finding("xclbinutil", OK, path)
    remedy = remedies.install("utilities", machine.distribution)
    return Finding("xclbinutil", status, "not installed; packs the design", remedy)


def _design(machine: Machine, installation: Installation) -> Finding:
    part = installation.design
    if not part.problem:
        return Finding("design", OK, part.detail)
    kind = machine.npu.kind if machine.npu else "npu1"
    remedy = f"jax-npu build --device {kind}"
    if installation.chosen_design:
        remedy = f"unset {DESIGN.name}"
    return Finding("design", MISSING, part.problem.partition(";")[0], remedy)


def check_host(
    machine: Machine, installation: Installation | None
) -> Iterator[Finding]:
    """The checks of XLA's FFI and of the CPU, which every custom call needs."""
    features = ", ".join(flag for flag in CPU_FLAGS if flag in machine.cpu_flags)
    features = features or ("no AVX2" if machine.cpu_flags else "unknown features")
    if installation is None:
        yield Finding("cpu", OK, features)
        return
    ffi, isa = installation.ffi, installation.host_isa
    status = MISSING if ffi.problem else OK
    yield Finding("xla ffi", status, ffi.problem or ffi.detail, ffi.remedy)
    if isa.problem:
        yield Finding("cpu", MISSING, isa.problem, f"unset {HOST_ISA.name}")
    elif installation.forced_isa:
        found = f"{features}; host GEMM forced to {isa.detail}"
        yield Finding("cpu", WARNING, found, f"unset {HOST_ISA.name}")
    else:
        yield Finding("cpu", OK, f"{features}; host GEMM: {isa.detail}")
