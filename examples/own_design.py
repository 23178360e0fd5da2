"""A design of one's own on the virtual NPU, with a kernel in C++.

A core takes blocks of 64 integers from DDR, calls `clamp_i32` and sends them back. The
design is MLIR as mlir-aie places it; the stream tells the shim's DMA what to move. The
kernel is compiled by g++ as Peano would compile it for the core. Prints the command
that runs it, the time that the array would take, and that the results are right.

Needs: g++
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from xdna.devices import device
from xdna.stream.instructions import Sync, encode
from xdna.stream.shim_bd import ShimTransfer, operations

BLOCKS, BLOCK, LARGEST = 8, 64, 100

KERNEL = """
#include <aie_api/aie.hpp>

extern "C" void clamp_i32(const int* in, int* out) {
  for (int i = 0; i < 64; ++i) out[i] = in[i] > 100 ? 100 : in[i];
}
"""

DESIGN = """
module {
  aie.device(npu1) {
    %shim = aie.tile(0, 0)
    %core = aie.tile(0, 2)
    func.func private @clamp_i32(memref<64xi32>, memref<64xi32>)
    %x = aie.buffer(%core) {sym_name = "x", address = 1024 : i32} : memref<64xi32>
    %y = aie.buffer(%core) {sym_name = "y", address = 2048 : i32} : memref<64xi32>
    %x_free = aie.lock(%core, 0) {init = 1 : i32, sym_name = "x_free"}
    %x_full = aie.lock(%core, 1) {init = 0 : i32, sym_name = "x_full"}
    %y_free = aie.lock(%core, 2) {init = 1 : i32, sym_name = "y_free"}
    %y_full = aie.lock(%core, 3) {init = 0 : i32, sym_name = "y_full"}
    aie.flow(%shim, DMA : 0, %core, DMA : 0)
    aie.flow(%core, DMA : 0, %shim, DMA : 0)
    aie.shim_dma_allocation @fill(%shim, MM2S, 0)
    aie.shim_dma_allocation @drain(%shim, S2MM, 0)
    %dma = aie.mem(%core) {
      %0 = aie.dma_start(S2MM, 0, ^in, ^next)
    ^in:
      aie.use_lock(%x_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%x : memref<64xi32>, 0, 64) {bd_id = 0 : i32, next_bd_id = 0 : i32}
      aie.use_lock(%x_full, Release, 1)
      aie.next_bd ^in
    ^next:
      %1 = aie.dma_start(MM2S, 0, ^out, ^end)
    ^out:
      aie.use_lock(%y_full, AcquireGreaterEqual, 1)
      aie.dma_bd(%y : memref<64xi32>, 0, 64) {bd_id = 1 : i32, next_bd_id = 1 : i32}
      aie.use_lock(%y_free, Release, 1)
      aie.next_bd ^out
    ^end:
      aie.end
    }
    %program = aie.core(%core) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c8 = arith.constant 8 : index
      scf.for %i = %c0 to %c8 step %c1 {
        aie.use_lock(%x_full, AcquireGreaterEqual, 1)
        aie.use_lock(%y_free, AcquireGreaterEqual, 1)
        func.call @clamp_i32(%x, %y) : (memref<64xi32>, memref<64xi32>) -> ()
        aie.use_lock(%x_free, Release, 1)
        aie.use_lock(%y_full, Release, 1)
      }
      aie.end
    } {link_with = "clamp.o"}
  }
}
"""


def stream():
    """The words of a run: DDR to the core, the core to DDR, and a wait for the end."""
    npu = device("npu1")
    sizes, strides = (1, 1, 1, BLOCKS * BLOCK), (0, 0, 0, 1)
    moves = [
        ShimTransfer(0, "S2MM", 0, 0, 1, 0, sizes, strides, token=True),
        ShimTransfer(0, "MM2S", 0, 1, 0, 0, sizes, strides),
    ]
    each = [one for move in moves for one in operations(npu, move)]
    return encode(npu, [*each, Sync(0, 0, "S2MM", 0)])


def main():
    folder = Path(tempfile.mkdtemp(prefix="own-design-"))
    (folder / "design.mlir").write_text(DESIGN)
    (folder / "clamp.cc").write_text(KERNEL)
    stream().tofile(folder / "insts.bin")
    x = np.random.default_rng(0).integers(-500, 500, BLOCKS * BLOCK).astype(np.int32)
    np.save(folder / "x.npy", x)
    command = [
        *("jax-npu", "simulate", "design.mlir", "insts.bin"),
        *("--kernels", "clamp.cc", "--kernel", "clamp_i32=80"),
        *("--in", "x.npy", "--out", f"y.npy:int32:{x.size}"),
    ]
    print("$", *command)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    print(next(line for line in done.stdout.splitlines() if "time" in line))
    y = np.load(folder / "y.npy")
    right = np.array_equal(y, np.minimum(x, LARGEST))
    print(f"{(x > LARGEST).sum()} of {x.size} values were clamped; right: {right}")


if __name__ == "__main__":
    main()
