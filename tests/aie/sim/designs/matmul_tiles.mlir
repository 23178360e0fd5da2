module {
  aie.device(DEVICE) {
    func.func private @matmul_tiles_bf16_f32(memref<A_SHAPExbf16>, memref<B_SHAPExbf16>, memref<C_SHAPExf32>, i32)
    %shim = aie.tile(0, 0)
    %core = aie.tile(0, 2)
    %a = aie.buffer(%core) {sym_name = "a", address = 1024 : i32} : memref<A_SHAPExbf16>
    %b = aie.buffer(%core) {sym_name = "b", address = 8192 : i32} : memref<B_SHAPExbf16>
    %c = aie.buffer(%core) {sym_name = "c", address = 16384 : i32} : memref<C_SHAPExf32>
    %a_free = aie.lock(%core, 0) {init = 1 : i32, sym_name = "a_free"}
    %a_full = aie.lock(%core, 1) {init = 0 : i32, sym_name = "a_full"}
    %b_free = aie.lock(%core, 2) {init = 1 : i32, sym_name = "b_free"}
    %b_full = aie.lock(%core, 3) {init = 0 : i32, sym_name = "b_full"}
    %c_free = aie.lock(%core, 4) {init = 1 : i32, sym_name = "c_free"}
    %c_full = aie.lock(%core, 5) {init = 0 : i32, sym_name = "c_full"}
    aie.flow(%shim, DMA : 0, %core, DMA : 0)
    aie.flow(%shim, DMA : 1, %core, DMA : 1)
    aie.flow(%core, DMA : 0, %shim, DMA : 0)
    aie.shim_dma_allocation @a_in(%shim, MM2S, 0)
    aie.shim_dma_allocation @b_in(%shim, MM2S, 1)
    aie.shim_dma_allocation @c_out(%shim, S2MM, 0)
    %d = aie.mem(%core) {
      %0 = aie.dma_start(S2MM, 0, ^a, ^second)
    ^a:
      aie.use_lock(%a_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%a : memref<A_SHAPExbf16>, 0, 2048) {bd_id = 0 : i32, next_bd_id = 0 : i32}
      aie.use_lock(%a_full, Release, 1)
      aie.next_bd ^a
    ^second:
      %1 = aie.dma_start(S2MM, 1, ^b, ^third)
    ^b:
      aie.use_lock(%b_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%b : memref<B_SHAPExbf16>, 0, 2048) {bd_id = 1 : i32, next_bd_id = 1 : i32}
      aie.use_lock(%b_full, Release, 1)
      aie.next_bd ^b
    ^third:
      %2 = aie.dma_start(MM2S, 0, ^c, ^end)
    ^c:
      aie.use_lock(%c_full, AcquireGreaterEqual, 1)
      aie.dma_bd(%c : memref<C_SHAPExf32>, 0, 1024) {bd_id = 2 : i32, next_bd_id = 2 : i32}
      aie.use_lock(%c_free, Release, 1)
      aie.next_bd ^c
    ^end:
      aie.end
    }
    %e = aie.core(%core) {
      %first = arith.constant FIRST_FLAGS : i32
      %flags = arith.constant FLAGS : i32
      aie.use_lock(%c_free, AcquireGreaterEqual, 1)
      aie.use_lock(%b_full, AcquireGreaterEqual, 1)
      aie.use_lock(%a_full, AcquireGreaterEqual, 1)
      func.call @matmul_tiles_bf16_f32(%a, %b, %c, %first) : (memref<A_SHAPExbf16>, memref<B_SHAPExbf16>, memref<C_SHAPExf32>, i32) -> ()
      aie.use_lock(%a_free, Release, 1)
      aie.use_lock(%a_full, AcquireGreaterEqual, 1)
      func.call @matmul_tiles_bf16_f32(%a, %b, %c, %flags) : (memref<A_SHAPExbf16>, memref<B_SHAPExbf16>, memref<C_SHAPExf32>, i32) -> ()
      aie.use_lock(%a_free, Release, 1)
      aie.use_lock(%b_free, Release, 1)
      aie.use_lock(%c_full, Release, 1)
      aie.end
    } {link_with = "gemm_kernels.o"}
  }
}
