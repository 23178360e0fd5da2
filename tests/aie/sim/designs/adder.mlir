    %x_NAME = aie.buffer(%NAME) {sym_name = "x_NAME", address = 1024 : i32} : memref<80xi32>
    %y_NAME = aie.buffer(%NAME) {sym_name = "y_NAME", address = 2048 : i32} : memref<80xi32>
    %x_free_NAME = aie.lock(%NAME, 0) {init = 1 : i32, sym_name = "x_free_NAME"}
    %x_full_NAME = aie.lock(%NAME, 1) {init = 0 : i32, sym_name = "x_full_NAME"}
    %y_free_NAME = aie.lock(%NAME, 2) {init = 1 : i32, sym_name = "y_free_NAME"}
    %y_full_NAME = aie.lock(%NAME, 3) {init = 0 : i32, sym_name = "y_full_NAME"}
    %d_NAME = aie.mem(%NAME) {
      %0 = aie.dma_start(S2MM, 1, ^in, ^next)
    ^in:
      aie.use_lock(%x_free_NAME, AcquireGreaterEqual, 1)
      aie.dma_bd(%x_NAME : memref<80xi32>, 0, 80) {bd_id = 0 : i32, next_bd_id = 0 : i32}
      aie.use_lock(%x_full_NAME, Release, 1)
      aie.next_bd ^in
    ^next:
      %1 = aie.dma_start(MM2S, 0, ^out, ^end)
    ^out:
      aie.use_lock(%y_full_NAME, AcquireGreaterEqual, 1)
      aie.dma_bd(%y_NAME : memref<80xi32>, 0, 80) {bd_id = 1 : i32, next_bd_id = 1 : i32}
      aie.use_lock(%y_free_NAME, Release, 1)
      aie.next_bd ^out
    ^end:
      aie.end
    }
    %c_NAME = aie.core(%NAME) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c2 = arith.constant 2 : index
      scf.for %i = %c0 to %c2 step %c1 {
        %round = arith.index_cast %i : index to i32
        %first = arith.constant FIRST : i32
        %scalar = arith.subi %first, %round : i32
        aie.use_lock(%x_full_NAME, AcquireGreaterEqual, 1)
        aie.use_lock(%y_free_NAME, AcquireGreaterEqual, 1)
        func.call @add_i32(%x_NAME, %y_NAME, %scalar) : (memref<80xi32>, memref<80xi32>, i32) -> ()
        aie.use_lock(%x_free_NAME, Release, 1)
        aie.use_lock(%y_full_NAME, Release, 1)
      }
      aie.end
    } {link_with = "add.o"}
