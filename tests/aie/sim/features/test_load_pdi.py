"""LOADPDI: a stream that goes on in another design."""

import numpy as np
import pytest

from jax_npu.commands.command_line import main
from xdna.dialect.text import parse_module
from xdna.load.configuration import configuration
from xdna.simulator import Trap, VirtualNpu
from xdna.stream.instructions import LoadPdi

from .streams import shim, sync, words

# Words pass a core, which adds a number to each. The designs differ in the number, the
# core and its lock, on which the first word of each loading waits.
ADDS = """
module {
  aie.device(DEVICE) {
    %shim = aie.tile(0, 0)
    %core = aie.tile(0, ROW)
    %once = aie.lock(%core, 0) {init = 1 : i32, sym_name = "once"}
    aie.flow(%shim, DMA : 0, %core, Core : 0)
    aie.flow(%core, Core : 0, %shim, DMA : 0)
    %c = aie.core(%core) {
      %port = arith.constant 0 : i32
      %number = arith.constant NUMBER : i32
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %forever = arith.constant 4294967295 : index
      aie.use_lock(%once, AcquireGreaterEqual, 1)
      scf.for %i = %c0 to %forever step %c1 {
        %x = aie.get_stream(%port : i32) : i32
        %y = arith.addi %x, %number : i32
        aie.put_stream(%port : i32, %y : i32)
      }
      aie.end
    }
  }
}
"""


def adds_text(name, row, number):
    text = ADDS.replace("DEVICE", name).replace("ROW", f"{row}")
    return text.replace("NUMBER", f"{number}")


def adds(name, row, number):
    return configuration(parse_module(adds_text(name, row, number)))


def pass_words(name, argument):
    return [
        *shim(name, "S2MM", 0, 0, argument, 32),
        *shim(name, "MM2S", 0, 1, 0, 32),
        sync(0, "S2MM", 0),
    ]


@pytest.mark.parametrize("name", ["npu1", "npu2"])
def test_a_stream_goes_on_in_another_design(name, rng):
    designs = {3: adds(name, 4, 1000), 7: adds(name, 2, -5)}
    npu = VirtualNpu(adds(name, 2, 1), designs=designs)
    x = rng.integers(-1000, 1000, 32, dtype=np.int32)
    y = [np.full_like(x, -1) for _ in range(4)]
    first, second, third, fourth = (pass_words(name, i + 1) for i in range(4))
    load = [LoadPdi(3, 0, 0)], [LoadPdi(7, 0, 0)]
    stream = words(name, first, load[0], second, third, load[1], fourth)
    report = npu.run(stream, [x, *y])
    for result, number in zip(y, (1, 1000, 1000, -5)):
        np.testing.assert_array_equal(result, x + number)
    # What each design did is in one report, and every agent's cycles are the run's.
    assert report.bytes["ddr_read"] == report.bytes["ddr_write"] == 4 * 128
    usage = report.usage["shim (0, 0) MM2S 0"]
    assert usage.bytes == 4 * 128
    assert usage.busy + sum(usage.stalls.values()) == report.cycles
    assert report.cycles > 2 * 3.4e-3 * report.clock_hz
    # The last design stays, and its core goes on; a reset brings the first one back.
    npu.run(words(name, pass_words(name, 1)), [x, *y])
    np.testing.assert_array_equal(y[0], x - 5)
    npu.reset()
    npu.run(words(name, pass_words(name, 1)), [x, *y])
    np.testing.assert_array_equal(y[0], x + 1)
    assert npu.report().runs == 3


def test_loads_that_cannot_be_made():
    npu = VirtualNpu(adds("npu1", 2, 1), designs={3: adds("npu1", 4, 5)})
    x, y = np.zeros(32, np.int32), np.zeros(32, np.int32)
    with pytest.raises(
        Trap, match=r"LOADPDI of PDI 4: no design was given for it; give "
    ):
        npu.run(words("npu1", LoadPdi(4, 0, 0)), [x, y])
    npu.reset()
    stream = words("npu1", shim("npu1", "S2MM", 0, 0, 1, 32), LoadPdi(3, 0, 0))
    with pytest.raises(
        Trap, match=r"LOADPDI of PDI 3, but shim \(0, 0\) S2MM 0 BD 0 is"
    ):
        npu.run(stream, [x, y])
    npu.reset()
    npu.start_trace()
    with pytest.raises(Trap, match="PDI 3: a trace cannot go on in another design"):
        npu.run(words("npu1", LoadPdi(3, 0, 0)), [x, y])
    with pytest.raises(ValueError, match="PDI 2 is a design for npu2, not for npu1"):
        VirtualNpu(adds("npu1", 2, 1), designs={2: adds("npu2", 2, 1)})


@pytest.fixture
def command(tmp_path, monkeypatch, rng):
    """The command that runs a stream which loads PDI 3 between two halves."""
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("first.mlir").write_text(adds_text("npu1", 2, 1))
    tmp_path.joinpath("second.mlir").write_text(adds_text("npu1", 4, 1000))
    first, second = (pass_words("npu1", i) for i in (1, 2))
    stream = words("npu1", first, [LoadPdi(3, 0, 0)], second)
    np.asarray(stream, "<u4").tofile("insts.bin")
    np.save("x.npy", rng.integers(-1000, 1000, 32, dtype=np.int32))
    buffers = ["--in", "x.npy", "--out", "y.npy:int32:32", "--out", "z.npy:int32:32"]
    return ["simulate", "first.mlir", "insts.bin", *buffers]


def test_the_command_gives_designs_to_load(command):
    assert main([*command, "--pdi", "3=second.mlir"]) == 0
    x, y, z = (np.load(f"{name}.npy") for name in "xyz")
    np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(z, x + 1000)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "LOADPDI of PDI 3: no design was given for it"),
        (["--pdi", "second.mlir"], "--pdi must be ID=FILE or ID=FILE@NAME with an ID"),
        (["--pdi", "70000=second.mlir"], "with an ID up to 65535"),
        (2 * ["--pdi", "3=second.mlir"], "--pdi gives 3 twice"),
        (["--pdi", "3=third.mlir"], "third.mlir"),
        (["--pdi", "3=second.mlir@other"], "other"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(command, flags, message, capsys):
    assert main([*command, *flags]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
