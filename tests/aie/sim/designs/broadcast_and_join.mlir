module {
  aie.device(DEVICE) {
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %left = aie.tile(0, 2)
    %right = aie.tile(1, 3)
    func.func private @add_i32(memref<80xi32>, memref<80xi32>, i32)
    %in = aie.buffer(%mem) {sym_name = "in", address = 0 : i32} : memref<8x6xi32>
    %out = aie.buffer(%mem) {sym_name = "out", address = 4096 : i32} : memref<10x2x8xi32>
    %in_free = aie.lock(%mem, 0) {init = 1 : i32, sym_name = "in_free"}
    %in_full = aie.lock(%mem, 1) {init = 0 : i32, sym_name = "in_full"}
    %out_free = aie.lock(%mem, 2) {init = 2 : i32, sym_name = "out_free"}
    %out_full = aie.lock(%mem, 3) {init = 0 : i32, sym_name = "out_full"}
    aie.flow(%shim, DMA : 1, %mem, DMA : 0)
    aie.flow(%mem, DMA : 0, %left, DMA : 1)
    aie.flow(%mem, DMA : 0, %right, DMA : 1)
    aie.flow(%left, DMA : 0, %mem, DMA : 1)
    aie.flow(%right, DMA : 0, %mem, DMA : 2)
    aie.flow(%mem, DMA : 1, %shim, DMA : 0)
    aie.shim_dma_allocation @fill(%shim, MM2S, 1)
    aie.shim_dma_allocation @drain(%shim, S2MM, 0)
    %m = aie.memtile_dma(%mem) {
      %0 = aie.dma_start(S2MM, 0, ^in, ^b, repeat_count = 1)
    ^in:
      aie.use_lock(%in_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%in : memref<8x6xi32>, 0, 48) {bd_id = 0 : i32}
      aie.use_lock(%in_full, Release, 1)
      aie.next_bd ^end
    ^b:
      %1 = aie.dma_start(MM2S, 0, ^pad, ^c, repeat_count = 1)
    ^pad:
      aie.use_lock(%in_full, AcquireGreaterEqual, 1)
      aie.dma_bd(%in : memref<8x6xi32>, 0, 80, [<size = 8, stride = 6>,
        <size = 6, stride = 1>], [<const_pad_before = 1, const_pad_after = 1>,
        <const_pad_before = 1, const_pad_after = 1>]) {bd_id = 1 : i32}
      aie.use_lock(%in_free, Release, 1)
      aie.next_bd ^end
    ^c:
      %2 = aie.dma_start(S2MM, 1, ^left, ^d, repeat_count = 1)
    ^left:
      aie.use_lock(%out_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%out : memref<10x2x8xi32>, 0, 80, [<size = 10, stride = 16>,
        <size = 8, stride = 1>]) {bd_id = 24 : i32}
      aie.use_lock(%out_full, Release, 1)
      aie.next_bd ^end
    ^d:
      %3 = aie.dma_start(S2MM, 2, ^right, ^e, repeat_count = 1)
    ^right:
      aie.use_lock(%out_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%out : memref<10x2x8xi32>, 8, 80, [<size = 10, stride = 16>,
        <size = 8, stride = 1>]) {bd_id = 2 : i32}
      aie.use_lock(%out_full, Release, 1)
      aie.next_bd ^end
    ^e:
      %4 = aie.dma_start(MM2S, 1, ^out, ^end, repeat_count = 1)
    ^out:
      aie.use_lock(%out_full, AcquireGreaterEqual, 2)
      aie.dma_bd(%out : memref<10x2x8xi32>, 0, 160) {bd_id = 25 : i32}
      aie.use_lock(%out_free, Release, 2)
      aie.next_bd ^end
    ^end:
      aie.end
    }
LEFT
RIGHT
  }
}
