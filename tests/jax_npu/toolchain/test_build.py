"""`jax-npu build` with fake tools: their arguments, and the files that it keeps.

The tools record their arguments and write the files that mlir-aie 1.3 or 1.4 would
write: an MLIR with addresses, and an xclbin.
"""

import ctypes
import functools
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from jax_npu.commands.command_line import main
from jax_npu.runtime import designs
from jax_npu.runtime.designs import built_design, gemm_array
from jax_npu.toolchain import build, compilers, options
from xdna.check.program_memory import core_bytes
from xdna.devices import CORE, RUNTIME_DATA_BYTES
from xdna.gemm import design as gemm_design
from xdna.gemm.array import GemmArray
from xdna.gemm.artifact import design_text, read_artifact
from xdna.releases import RELEASES, release_of

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "jax_npu.commands.command_line", "build"]

WARNINGS = [
    "-Wno-parentheses",
    "-Wno-attributes",
    "-Wno-macro-redefined",
    "-Wno-empty-body",
    "-Wno-missing-template-arg-list-after-template-kw",
]
AIECC_OF = {
    "1.3.4": [
        "--aie-generate-xclbin",
        "--no-compile-host",
        "--no-xchesscc",
        "--no-xbridge",
    ],
    "1.4.2": ["--get-xclbin", "--get-input-with-addresses"],
}
AIECC = [
    "--alloc-scheme=basic-sequential",
    "--peano={peano}",
    "--tmpdir=aiecc",
    "--xclbin-kernel-name=MLIR_AIE",
    "--xclbin-name=gemm.xclbin",
    "--verbose",
    "design.mlir",
]
KERNELS = {
    "npu1": [
        "--target=aie2-none-unknown-elf",
        "-O2",
        "-std=c++20",
        *WARNINGS,
        "-DNDEBUG",
        "-ffunction-sections",
        "-DDIM_M=16",
        "-DDIM_K=128",
        "-DDIM_N=64",
        "-I",
        "{mlir_aie}/include",
        "-c",
        "gemm_kernels.cc",
        "-o",
        "gemm_kernels.o",
    ],
    "npu2": [
        "--target=aie2p-none-unknown-elf",
        "-O2",
        "-std=c++20",
        *WARNINGS,
        "-DNDEBUG",
        "-ffunction-sections",
        "-DDIM_M=16",
        "-DDIM_K=64",
        "-DDIM_N=96",
        "-DMMUL_8X8X8",
        "-DAIE_API_EMULATE_BFLOAT16_MMUL_WITH_BFP16",
        "-I",
        "{mlir_aie}/include",
        "-c",
        "gemm_kernels.cc",
        "-o",
        "gemm_kernels.o",
    ],
}

# The program of both tools; the word in the file `mode` makes it fail in some way.
TOOL = """#!{python} -IS
import json, os, pathlib, re, shutil, subprocess, sys, time
home = pathlib.Path({home!r})
arguments = sys.argv[1:]
name = pathlib.Path(sys.argv[0]).name
if arguments == ["--version"]:
    if name == "aiecc":
        print((home / "driver").read_text())
        sys.exit()
    print("clang version 21.0.0 (llvm-aie 2c363ce)\\nTarget: x86_64")
    sys.exit()
with open(home / "calls", "a") as calls:
    calls.write(json.dumps([name, arguments]) + "\\n")
mode = (home / "mode").read_text()
print(name, "speaks")
if mode == f"fail {{name}}":
    for number in range(30):
        print("error", number, file=sys.stderr)
    sys.exit(3)
if name == "clang++":
    assert '#include "matmul.cc"' in open("gemm_kernels.cc").read()
    assert "matmul_bf16_f32" in open("matmul.cc").read()
    shutil.copy(home / "kernels.o", "gemm_kernels.o")
    sys.exit()
(home / f"started-{{os.getpid()}}").touch()
if mode == "hang":
    child = subprocess.Popen(["sleep", "600"])
    (home / "child").write_text(str(child.pid))
    child.wait()
while mode == "wait" and len(list(home.glob("started-*"))) < 2:
    time.sleep(0.01)
assert open("gemm_kernels.o", "rb").read() == (home / "kernels.o").read_bytes()
assert shutil.which("xclbinutil")
is_1_4 = (home / "version").read_text().startswith("1.4")
if is_1_4:
    assert os.access(os.environ["AIE_XCLBINUTIL"], os.X_OK)
    for argument in arguments:
        if argument.startswith(("--aie-generate", "--no-")):
            sys.exit(f"aiecc: Unknown command line argument '{{argument}}'.")
text = open("design.mlir").read()
assert ("static" if is_1_4 else "offset = ") not in text
assert is_1_4 == ("Release, %lock_by_1)" in text)
text = re.sub(r"(address = \\d+ : i32)", r"\\1, mem_bank = 0 : i32", text)
text = re.sub(r'link_with = ("[^"]*")', r"link_files = [\\1]", text)
text = re.sub(r"%tile_(\\d+)_1\\b", r"%mem_tile_\\1_1", text)
if mode == "move":
    place = r'\\d+( : i32, mem_bank = 0 : i32, sym_name = "parameters_2_3")'
    text = re.sub("address = " + place, r"address = 64\\1", text)
os.mkdir("aiecc")
if is_1_4:
    lines = text.splitlines()
    located = [l if l.endswith("{{") else l + " loc(#loc)" for l in lines]
    text = "\\n".join(["#loc = loc(unknown)", *located])
    open("input_with_addresses.mlir", "w").write(text)
else:
    open("aiecc/input_with_addresses.mlir", "w").write(text)
if mode != "no xclbin":
    open("gemm.xclbin", "wb").write(b"xclbin2" + os.urandom(100))
"""


class Tools:
    """Fake programs, in folders like those of the wheels and of XRT."""

    def __init__(self, home, site, version="1.3.4"):
        self.home, self.mlir_aie, self.peano = (
            home,
            site / "mlir_aie",
            site / "llvm-aie",
        )
        self.xrt = home / "xrt"
        self.site = site
        for folder in (self.mlir_aie / "bin", self.peano / "bin", self.xrt):
            folder.mkdir(parents=True)
        header = self.mlir_aie / "include" / "aie_api" / "aie.hpp"
        header.parent.mkdir(parents=True)
        header.touch()
        text = TOOL.format(python=sys.executable, home=str(home))
        self.aiecc = program(self.mlir_aie / "bin" / "aiecc", text)
        self.clang = program(self.peano / "bin" / "clang++", text)
        self.xclbinutil = program(self.xrt / "xclbinutil", "#!/bin/sh\n")
        self.is_of(version)
        self.has_constants(64)
        self.do("work")

    def is_of(self, version):
        for old in self.site.glob("mlir_aie-*"):
            (old / "METADATA").unlink()
            old.rmdir()
        self.has_wheel("mlir_aie", version)
        (self.home / "version").write_text(version)
        self.drives(version[:3])

    def drives(self, syntax):
        """What `aiecc --version` prints of each release, after LLVM's own lines."""
        kinds = {
            "1.3": "aiecc (C++ version) 8373e4912ab",
            "1.4": "aiecc (mlir-aie declarative driver)\n  git SHA: f50bef7\n",
        }
        text = "LLVM version 23.0.0git\n" + kinds.get(syntax, "aiecc")
        (self.home / "driver").write_text(text)

    def has_wheel(self, name, version):
        wheel = self.site / f"{name}-{version}.dist-info"
        wheel.mkdir()
        (wheel / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")

    def has_constants(self, num_bytes):
        self.compiles_to({".rodata": num_bytes})

    def compiles_to(self, sections):
        """Makes clang++ write an object with sections of so many bytes."""
        names = b"\0" + b"".join(f"{name}\0".encode() for name in sections)
        names += b".shstrtab\0"
        first = 52 + len(names)  # behind the header
        count = len(sections) + 2  # the first one is empty
        header = struct.pack(
            *("<7s9x2H5I6H", b"\x7fELF\1\1\1", 1, 264, 1, 0, 0, first),
            *(0, 52, 0, 0, 40, count, count - 1),
        )
        table = bytes(40)
        for name, size in sections.items():
            position = names.index(name.encode())
            table += struct.pack("<10I", position, 1, 2, 0, first, size, 0, 0, 1, 0)
        position = names.index(b".shstrtab")
        table += struct.pack("<10I", position, 3, 0, 0, 52, len(names), 0, 0, 1, 0)
        (self.home / "kernels.o").write_bytes(header + names + table)

    def do(self, mode):
        (self.home / "mode").write_text(mode)

    def calls(self):
        path = self.home / "calls"
        return [json.loads(line) for line in path.open()] if path.exists() else []


def program(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True, scope="module")
def designs_are_made_once():
    """A build only reads its design, and making it takes most of a build's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "gemm_design", functools.cache(build.gemm_design))
        yield


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder of built designs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for variable in ("JAX_NPU_DESIGN", "JAX_NPU_DEVICE", "PEANO_INSTALL_DIR"):
        monkeypatch.delenv(variable, raising=False)
    designs._built_design.cache_clear()
    yield tmp_path / "cache" / "jax-npu" / "designs"
    designs._built_design.cache_clear()


@pytest.fixture
def no_tools(cache, tmp_path, monkeypatch):
    """Hides every tool, on PATH and where XRT usually is."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(compilers, "XRT_FOLDERS", ())


@pytest.fixture
def tools(no_tools, tmp_path, monkeypatch):
    tools = Tools(tmp_path, tmp_path / "site")
    folders = [tools.mlir_aie / "bin", tools.xrt, "/usr/bin", "/bin"]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
    return tools


def folders(cache):
    return sorted(path.name for path in cache.iterdir())


@pytest.mark.parametrize(
    ("device", "version"), [("npu1", "1.4.2"), ("npu1", "1.3.4"), ("npu2", "1.3.4")]
)
def test_the_tools_get_exactly_these_arguments(device, version, tools, cache, capsys):
    tools.is_of(version)
    assert main(["build", "--device", device]) == 0
    places = {"mlir_aie": tools.mlir_aie, "peano": tools.peano}
    aiecc = [*AIECC_OF[version], *AIECC]
    expected = [["clang++", KERNELS[device]], ["aiecc", aiecc]]
    assert tools.calls() == [
        [name, [argument.format(**places) for argument in arguments]]
        for name, arguments in expected
    ]
    out = capsys.readouterr().out
    for step in ("find", "make the design", "compile the kernels", "compile the array"):
        assert re.search(rf"^{step}.*: \d+\.\d s$", out, re.M)


@pytest.mark.parametrize("device", ["npu1", "npu2"])
def test_a_built_design_is_found_and_describes_itself(device, tools, cache):
    main(["build", "--device", device])
    (folder,) = cache.iterdir()
    assert re.fullmatch(rf"{device}-[0-9a-f]{{16}}", folder.name)
    assert folders(folder) == ["build.log", "design.json", "design.mlir", "gemm.xclbin"]
    assert built_design(device) == folder / "gemm.xclbin"
    assert (folder / "design.mlir").read_text() == design_text(gemm_array(device))
    artifact = read_artifact(folder, device)
    assert artifact.device == device
    assert artifact.tile == {"npu1": (64, 128, 64), "npu2": (64, 64, 96)}[device]
    assert artifact.versions == {
        "jax-npu": metadata.version("jax-npu"),
        "mlir-aie": "1.3.4",
        "peano": "clang version 21.0.0 (llvm-aie 2c363ce)",
    }
    log = (folder / "build.log").read_text()
    assert "clang++ speaks" in log
    assert "aiecc speaks" in log


def test_each_release_gets_its_syntax_and_the_artefact_names_both_tools(
    tools, cache, capsys
):
    tried, other = release_of("1.4.2"), release_of("1.3.4")
    said = {
        "1.4.2": f"{tried.pair}: the pair that designs were tried with\n",
        "1.3.4": f"with Peano 21.1+abc: designs were tried with {other.pair}; ",
    }
    for version, peano in (("1.3.4", "21.1+abc"), ("1.4.2", tried.peano)):
        tools.is_of(version)
        for old in tools.site.glob("llvm_aie-*"):
            (old / "METADATA").unlink()
            old.rmdir()
        tools.has_wheel("llvm_aie", peano)
        assert main(["build"]) == 0
        out = capsys.readouterr().out
        assert said[version] in out
        assert "not trusted before its self-test has passed on the chip; run: " in out
        designs._built_design.cache_clear()
        folder = built_design("npu1").parent
        text = (folder / "design.mlir").read_text()
        assert text == design_text(gemm_array("npu1"), version[:3])
        versions = read_artifact(folder, "npu1").versions
        assert (versions["mlir-aie"], versions["llvm-aie"]) == (version, peano)
    assert len(folders(cache)) == 2
    hashes = {read_artifact(path, "npu1").mlir_sha256 for path in cache.iterdir()}
    assert len(hashes) == 1  # one design, whatever it is written in


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.syntax)
def test_a_pair_is_tested_if_both_its_versions_are(release):
    commit = release.peano.partition("+")[2]
    clang = f"clang version 21.0.0 (llvm-aie {commit}12ab)"
    for mlir_aie, peano, expected in (
        (release.mlir_aie, {"llvm-aie": release.peano}, True),
        (release.mlir_aie, {"peano": clang}, True),  # built, of no wheel
        (release.mlir_aie, {"peano": clang, "llvm-aie": "22.0"}, False),
        (release.mlir_aie, {"peano": clang.replace(commit, "2c363ce")}, False),
        (f"{release.syntax}.9", {"llvm-aie": release.peano}, False),
    ):
        versions = {"mlir-aie": mlir_aie, **peano}
        pair = replace(
            compilers.PLACEHOLDERS, release=release, versions=tuple(versions.items())
        )
        assert pair.are_tested == expected, versions


def test_the_default_device_is_that_of_the_environment(tools, cache, monkeypatch):
    monkeypatch.setenv("JAX_NPU_DEVICE", "npu2")
    assert main(["build"]) == 0
    assert folders(cache)[0].startswith("npu2-")


def test_a_second_build_runs_nothing_and_reports_it(tools, cache, capsys):
    main(["build"])
    calls = tools.calls()
    capsys.readouterr()
    assert main(["build"]) == 0
    assert f"built already: {next(cache.iterdir())}" in capsys.readouterr().out
    assert tools.calls() == calls


def test_force_builds_again_in_place(tools, cache):
    main(["build"])
    (folder,) = cache.iterdir()
    before = (folder / "gemm.xclbin").read_bytes()
    assert main(["build", "--force"]) == 0
    assert list(cache.iterdir()) == [folder]
    assert (folder / "gemm.xclbin").read_bytes() != before
    assert built_design("npu1") == folder / "gemm.xclbin"


@pytest.mark.parametrize("file", ["gemm.xclbin", "design.json"])
def test_a_damaged_design_in_the_cache_is_built_again(file, tools, cache, capsys):
    main(["build"])
    (folder,) = cache.iterdir()
    (folder / file).write_bytes(b"damaged")
    with pytest.raises(
        ValueError, match=r"damaged.*; run: jax-npu build --device npu1"
    ):
        built_design("npu1")
    assert main(["build"]) == 0
    assert "built again" in capsys.readouterr().out
    assert list(cache.iterdir()) == [folder]
    assert built_design("npu1") == folder / "gemm.xclbin"


def test_another_compiler_or_kernel_makes_another_folder(tools, cache, monkeypatch):
    main(["build"])
    tools.is_of("1.3.1")
    main(["build"])
    tools.clang.write_text(tools.clang.read_text().replace("21.0.0", "22.0.0"))
    main(["build"])
    sources = compilers.kernel_sources()
    sources["matmul.cc"] += b"// changed\n"
    monkeypatch.setattr("jax_npu.toolchain.build.kernel_sources", lambda: sources)
    main(["build"])
    flags = {"1.3": (*options.PEANO_FLAGS["1.3"], "-g")}
    monkeypatch.setattr(options, "PEANO_FLAGS", flags)
    main(["build"])
    assert len(set(folders(cache))) == 5


def test_where_the_tools_lie_makes_no_other_folder(tools, cache, tmp_path, monkeypatch):
    main(["build"])
    other = tmp_path / "other"
    other.mkdir()
    again = Tools(other, other / "site")
    monkeypatch.setenv("PATH", f"{again.mlir_aie / 'bin'}:{again.xrt}:/usr/bin")
    assert main(["build", "--force"]) == 0
    assert len(again.calls()) == 2
    assert len(folders(cache)) == 1


def test_the_newest_design_that_fits_is_taken(tools, cache):
    names = []
    for version in ("1.3.2", "1.3.4", "1.3.3"):
        tools.is_of(version)
        main(["build"])
        (name,) = set(folders(cache)) - set(names)
        names.append(name)
        os.utime(cache / name, (len(names), len(names)))
    assert built_design("npu1").parent.name == names[2]
    (cache / names[2] / "gemm.xclbin").write_bytes(b"damaged")
    designs._built_design.cache_clear()
    assert built_design("npu1").parent.name == names[1]


@pytest.mark.parametrize("name", ["clang++", "aiecc"])
def test_a_tool_that_fails_shows_its_last_lines_and_the_log(name, tools, cache, capsys):
    tools.do(f"fail {name}")
    assert main(["build"]) == 2
    err = capsys.readouterr().err
    (log,) = cache.iterdir()
    assert err.splitlines()[:-1] == [f"  error {number}" for number in range(10, 30)]
    assert err.splitlines()[-1] == (
        f"jax-npu: {name} failed with exit code 3; the log is {log}"
    )
    assert "error 0\n" in log.read_text()
    assert f"{name} speaks" in log.read_text()
    with pytest.raises(FileNotFoundError, match="jax-npu build --device npu1"):
        built_design("npu1")
    tools.do("work")
    assert main(["build"]) == 0
    assert not log.exists()


def test_a_missing_xclbin_is_an_error_though_aiecc_ends_well(tools, cache, capsys):
    tools.do("no xclbin")
    assert main(["build"]) == 2
    assert "aiecc ended well, but wrote no gemm.xclbin" in capsys.readouterr().err
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_a_compiler_that_moves_the_parameters_is_refused(tools, cache, capsys):
    tools.do("move")
    assert main(["build"]) == 2
    asked = gemm_array("npu1").core_buffers["parameters"].address
    assert (
        f"buffer parameters_2_3 of tile (2, 5) must be at {asked} in the compiled "
        "design, and it is at (2, 5, 64)"
    ) in capsys.readouterr().err
    assert not [path for path in cache.iterdir() if path.is_dir()]


@pytest.mark.parametrize("device", ["npu1", "npu2"])
def test_constants_that_no_core_has_room_for_are_refused_early(
    device, tools, cache, capsys
):
    buffers = gemm_array(device).core_buffers.values()
    left = CORE.memory_bytes - max(b.address + b.num_bytes for b in buffers)
    tools.has_constants(left - RUNTIME_DATA_BYTES)
    assert main(["build", "--device", device]) == 0
    tools.has_constants(left + 1 - RUNTIME_DATA_BYTES)
    assert main(["build", "--device", device, "--force"]) == 2
    assert re.search(
        rf"tile \(0, 2\): .*: needs {left + 1}, limit {left}: .* of gemm_kernels.o",
        capsys.readouterr().err,
    )
    assert [name for name, _ in tools.calls()] == ["clang++", "aiecc", "clang++"]


def test_kernels_that_have_no_room_in_program_memory_are_refused_early(tools, capsys):
    own = core_bytes(gemm_design.one_core(gemm_array("npu1")))
    kernel, left = ".text.matmul_tiles_bf16_f32", CORE.program_bytes - own
    # What no core calls costs nothing.
    tools.compiles_to({kernel: left, ".text.zero_bf16": 5000})
    assert main(["build", "--device", "npu1"]) == 0
    tools.compiles_to({kernel: left + 1})
    assert main(["build", "--device", "npu1", "--force"]) == 2
    assert re.search(
        rf"tile \(0, 2\): program memory: needs {16384 + 1}, limit 16384: .* "
        "gemm_kernels.o",
        capsys.readouterr().err,
    )


def test_an_object_that_is_none_of_a_core_is_refused(tools, capsys):
    (tools.home / "kernels.o").write_bytes(b"BC\xc0\xde")
    assert main(["build"]) == 2
    assert "gemm_kernels.o must be a 32-bit ELF object" in capsys.readouterr().err


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_an_interrupted_build_leaves_nothing(tools, cache):
    tools.do("hang")
    # Background jobs of a shell ignore SIGINT, and so do the processes that they start.
    command = ["env", "--default-signal=INT", *COMMAND]
    build = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    child = tools.home / "child"
    wait_for(lambda: build.poll() is not None or (child.exists() and child.read_text()))
    build.send_signal(signal.SIGINT)
    _, err = build.communicate(timeout=60)
    assert err == "jax-npu: interrupted; nothing was kept\n"
    assert build.returncode == 130
    assert list(cache.iterdir()) == []
    wait_for(lambda: not is_running(int(child.read_text())))


def test_two_builds_at_once_make_one_design(tools, cache):
    tools.do("wait")  # both builds wait for each other
    builds = [subprocess.Popen(COMMAND, stdout=subprocess.PIPE) for _ in range(2)]
    outcomes = []
    for process in builds:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        outcomes.append(out.splitlines()[-1].partition(b":")[0])
    assert sorted(outcomes) == [b"built", b"built by another run"]
    assert [name for name, _ in tools.calls()].count("aiecc") == 2
    (folder,) = cache.iterdir()
    assert built_design("npu1") == folder / "gemm.xclbin"


def test_missing_tools_are_listed_with_what_installs_them(no_tools, cache, capsys):
    assert main(["build"]) == 2
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "jax-npu: to build a design, install what is missing:"
    assert [line.partition(":")[0] for line in err[1:]] == [
        "  aiecc, of mlir-aie 1.3 or 1.4",
        "  Peano's clang++, in $PEANO_INSTALL_DIR/bin or the wheel llvm-aie",
        "  xclbinutil, of XRT",
    ]
    assert 'python -m pip install "mlir_aie==1.4.2" -f https://github.com/' in err[1]
    assert 'pip install "llvm-aie==21.0.0.2026080301+c9c5ecb7" -f https://' in err[2]
    assert not cache.exists()


@pytest.mark.parametrize("name", ["aiecc", "clang", "xclbinutil"])
def test_what_is_there_is_not_listed(name, tools, capsys):
    getattr(tools, name).unlink()
    assert main(["build"]) == 2
    assert capsys.readouterr().err.count("\n  ") == (2 if name == "aiecc" else 1)


@pytest.mark.parametrize("version", ["1.5.0", "1.30.0", "0.0.1.2026033104+e4f35d6"])
def test_another_mlir_aie_is_refused_with_its_version(version, tools, capsys):
    tools.is_of(version)
    assert main(["build"]) == 2
    err = capsys.readouterr().err
    assert "mlir-aie must be 1.3 or 1.4, whose MLIR designs are written in; " in err
    assert f"is of {version}; run: python -m pip install" in err
    assert tools.calls() == []


def test_an_aiecc_of_no_wheel_is_known_by_its_driver(tools, cache, capsys):
    (tools.site / "mlir_aie-1.3.4.dist-info" / "METADATA").unlink()
    (tools.site / "mlir_aie-1.3.4.dist-info").rmdir()
    (tools.home / "version").write_text("1.4")
    tools.drives("unknown")
    assert main(["build"]) == 2
    assert "is of an unknown version; run: " in capsys.readouterr().err
    tools.drives("1.4")
    assert main(["build"]) == 0
    assert "designs were tried with mlir-aie 1.4.2" in capsys.readouterr().out
    (folder,) = cache.iterdir()
    assert read_artifact(folder, "npu1").versions["mlir-aie"] == "1.4+f50bef7"
    assert built_design("npu1") == folder / "gemm.xclbin"


def test_a_wheel_between_two_releases_is_refused(tools, capsys):
    tools.is_of("1.3.5.dev12+gf50bef7")
    tools.drives("1.4")
    assert main(["build"]) == 2
    err = capsys.readouterr().err
    assert "is of 1.3.5.dev12+gf50bef7 with the command line of 1.4+f50bef7" in err
    assert tools.calls() == []


def test_the_wheels_of_this_python_are_found_without_path(tools, monkeypatch):
    monkeypatch.setenv("PATH", f"{tools.xrt}:/usr/bin")
    monkeypatch.syspath_prepend(str(tools.site))
    assert main(["build"]) == 0
    assert len(tools.calls()) == 2


def test_aiecc_finds_the_xclbinutil_that_is_not_on_path(tools, tmp_path, monkeypatch):
    """The fake aiecc asserts that xclbinutil is on its PATH."""
    hidden = tools.xrt.rename(tmp_path / "hidden")
    monkeypatch.setattr(compilers, "XRT_FOLDERS", (hidden,))
    assert main(["build"]) == 0


def test_a_script_beside_python_leads_to_the_wheel(tools, tmp_path, monkeypatch):
    site = tmp_path / "venv" / "lib" / "python3.12" / "site-packages"
    inner = Tools(tmp_path / "venv", site)
    (tmp_path / "venv" / "bin").mkdir()
    program(tmp_path / "venv" / "bin" / "aiecc", "#!/bin/false\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'venv' / 'bin'}:{tools.xrt}:/usr/bin")
    assert main(["build"]) == 0
    assert len(inner.calls()) == 2


def test_peano_is_taken_from_its_variable_alone(tools, tmp_path, monkeypatch, capsys):
    elsewhere = tmp_path / "elsewhere"
    tools.peano.rename(elsewhere)
    monkeypatch.setenv("PEANO_INSTALL_DIR", str(elsewhere))
    assert main(["build"]) == 0
    assert f"--peano={elsewhere}" in tools.calls()[1][1]
    elsewhere.rename(tools.peano)
    assert main(["build"]) == 2
    assert "$PEANO_INSTALL_DIR" in capsys.readouterr().err


def test_a_peano_that_does_not_start_is_an_error(tools, capsys):
    program(tools.clang, "#!/nowhere/loader\n")
    assert main(["build"]) == 2
    assert "Peano's clang++ must run, and does not: " in capsys.readouterr().err


def test_a_dry_run_prints_the_commands_and_runs_none(tools, cache, capsys):
    assert main(["build", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    kernels, aiecc = out.splitlines()
    assert kernels.startswith(f"{tools.clang} --target=aie2-none-unknown-elf -O2 ")
    assert aiecc.startswith(f"{tools.aiecc} --aie-generate-xclbin ")
    assert err == ""
    assert tools.calls() == []
    assert not cache.exists()


def test_a_dry_run_without_tools_names_placeholders(no_tools, cache, capsys):
    assert main(["build", "--device", "npu2", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    kernels, aiecc = out.splitlines()
    assert kernels.startswith("'<peano>/bin/clang++' --target=aie2p-none-unknown-elf ")
    assert aiecc.startswith("'<mlir-aie>/bin/aiecc' --get-xclbin ")
    assert "<...> stands for what is missing; install what is missing:" in err


def test_an_unknown_device_is_one_line(cache, capsys):
    assert main(["build", "--device", "npu2_4col"]) == 2
    err = capsys.readouterr().err
    assert err == "jax-npu: device must be one of npu1, npu2, got 'npu2_4col'\n"


def test_a_cache_that_cannot_be_written_is_one_line(tools, cache, capsys):
    cache.parent.parent.mkdir()
    cache.parent.write_text("in the way")
    assert main(["build"]) == 2
    err = capsys.readouterr().err
    assert "set XDG_CACHE_HOME to a folder that can be written" in err
    assert tools.calls() == []


def test_a_missing_design_is_reported_without_importing_xdsl(cache):
    program = (
        "import sys\nfrom jax_npu.runtime.designs import built_design\n"
        "try:\n    built_design('npu2')\nexcept FileNotFoundError as error:\n"
        "    print(error)\nprint('xdsl' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "no design for npu2 is built; run: jax-npu build --device npu2",
        "False",
    ]


def test_a_chosen_folder_is_taken_or_refused_by_name(tools, cache, monkeypatch):
    main(["build", "--device", "npu2"])
    (folder,) = cache.iterdir()
    moved = folder.rename(tools.home / "chosen")
    monkeypatch.setenv("JAX_NPU_DESIGN", str(moved))
    assert built_design("npu2") == moved / "gemm.xclbin"
    refusal = (
        f"^{moved} is a design for npu2, not for npu1; run: jax-npu build --device "
        "npu1, or unset JAX_NPU_DESIGN$"
    )
    with pytest.raises(ValueError, match=refusal):
        built_design("npu1")
    monkeypatch.setenv("JAX_NPU_DESIGN", str(cache))
    with pytest.raises(ValueError, match=r"design.json cannot be read: No such file"):
        built_design("npu2")


TILED = [
    GemmArray("npu1", 64, 64, 64, images="tiles", parts=2),
    GemmArray("npu2", 64, 64, 96, images="tiles", parts=2),
    GemmArray("npu2", 32, 64, 32, images="tiles"),
]


@pytest.mark.parametrize("array", [*map(gemm_array, ("npu1", "npu2")), *TILED], ids=str)
def test_one_object_has_every_kernel_that_the_design_calls(array, tmp_path):
    """The kernels are compiled by g++ with their flags, and our aie_api."""
    for name, source in compilers.kernel_sources().items():
        (tmp_path / name).write_bytes(source)
    includes = [f'#include "{name}"\n' for name in compilers.KERNELS]
    (tmp_path / "gemm_kernels.cc").write_text("".join(includes))
    command = options.kernel_command(array, compilers.PLACEHOLDERS)
    macros = [flag for flag in command if flag.startswith("-DDIM") or "MMUL" in flag]
    flags = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    include = ["-I", ROOT / "aie" / "kernels" / "host"]
    subprocess.run(
        ["g++", *flags, *macros, *include, "gemm_kernels.cc", "-o", "kernels.so"],
        cwd=tmp_path,
        check=True,
    )
    library = ctypes.CDLL(str(tmp_path / "kernels.so"))
    called = re.findall(r"func\.call @(\w+)", design_text(array))
    assert called
    assert all(hasattr(library, name) for name in called)


def test_the_object_is_the_one_that_cores_link():
    assert options.KERNELS_OBJECT == gemm_design.KERNELS_OBJECT


def test_kernels_are_found_in_the_sources_and_in_a_wheel(tmp_path, monkeypatch):
    folder = ROOT / "aie" / "kernels"
    expected = {name: (folder / name).read_bytes() for name in compilers.KERNELS}
    assert compilers.kernel_sources() == expected
    installed = tmp_path / "xdna"
    (installed / "kernels").mkdir(parents=True)
    monkeypatch.setattr(compilers.xdna, "__path__", [str(installed)])
    with pytest.raises(FileNotFoundError, match=r"lacks the kernels' sources"):
        compilers.kernel_sources()
    for name, source in expected.items():
        (installed / "kernels" / name).write_bytes(source)
    assert compilers.kernel_sources() == expected
