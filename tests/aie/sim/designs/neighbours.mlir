module {
  aie.device(DEVICE) {
    %shim = aie.tile(0, 0)
    %lower = aie.tile(0, 2)
    %upper = aie.tile(0, 3)
    %x = aie.buffer(%lower) {sym_name = "x", address = 1024 : i32} : memref<16xi32>
    %shared = aie.buffer(%lower) {sym_name = "shared", address = 4096 : i32} : memref<4x4xi32>
    %count = aie.buffer(%lower) {sym_name = "count", address = 8192 : i32} : memref<1xi32>
    %y = aie.buffer(%upper) {sym_name = "y", address = 1024 : i32} : memref<16xi32>
    %x_free = aie.lock(%lower, 0) {init = 1 : i32, sym_name = "x_free"}
    %x_full = aie.lock(%lower, 1) {init = 0 : i32, sym_name = "x_full"}
    %shared_free = aie.lock(%lower, 2) {init = 1 : i32, sym_name = "shared_free"}
    %shared_full = aie.lock(%lower, 3) {init = 0 : i32, sym_name = "shared_full"}
    %go = aie.lock(%lower, 4) {init = 0 : i32, sym_name = "go"}
    %y_free = aie.lock(%upper, 0) {init = 1 : i32, sym_name = "y_free"}
    %y_full = aie.lock(%upper, 1) {init = 0 : i32, sym_name = "y_full"}
    aie.flow(%shim, DMA : 0, %lower, DMA : 0)
    aie.flow(%upper, DMA : 0, %shim, DMA : 0)
    aie.shim_dma_allocation @fill(%shim, MM2S, 0)
    aie.shim_dma_allocation @drain(%shim, S2MM, 0)
    %d = aie.mem(%lower) {
      %0 = aie.dma_start(S2MM, 0, ^in, ^end)
    ^in:
      aie.use_lock(%x_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%x : memref<16xi32>, 0, 16) {bd_id = 0 : i32, next_bd_id = 0 : i32}
      aie.use_lock(%x_full, Release, 1)
      aie.next_bd ^in
    ^end:
      aie.end
    }
    %e = aie.mem(%upper) {
      %0 = aie.dma_start(MM2S, 0, ^out, ^end)
    ^out:
      aie.use_lock(%y_full, AcquireGreaterEqual, 1)
      aie.dma_bd(%y : memref<16xi32>, 0, 16) {bd_id = 0 : i32, next_bd_id = 0 : i32}
      aie.use_lock(%y_free, Release, 1)
      aie.next_bd ^out
    ^end:
      aie.end
    }
    %f = aie.core(%lower) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c4 = arith.constant 4 : index
      %forever = arith.constant 4294967295 : index
      %three = arith.constant 3 : i32
      %seven = arith.constant -7 : i32
      scf.for %run = %c0 to %forever step %c1 {
        aie.use_lock(%go, AcquireGreaterEqual, 1)
        %n32 = memref.load %count[%c0] : memref<1xi32>
        %n = arith.index_cast %n32 : i32 to index
        scf.for %round = %c0 to %n step %c1 {
          aie.use_lock(%x_full, AcquireGreaterEqual, 1)
          aie.use_lock(%shared_free, AcquireGreaterEqual, 1)
          scf.for %i = %c0 to %c4 step %c1 {
            scf.for %j = %c0 to %c4 step %c1 {
              %row = arith.muli %i, %c4 : index
              %at = arith.addi %row, %j : index
              %v = memref.load %x[%at] : memref<16xi32>
              %tripled = arith.muli %v, %three : i32
              %quotient = arith.divsi %tripled, %seven : i32
              memref.store %quotient, %shared[%j, %i] : memref<4x4xi32>
            }
          }
          aie.use_lock(%x_free, Release, 1)
          aie.use_lock(%shared_full, Release, 1)
        }
      }
      aie.end
    }
    %g = aie.core(%upper) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c4 = arith.constant 4 : index
      %forever = arith.constant 4294967295 : index
      %zero = arith.constant 0 : i32
      scf.for %run = %c0 to %forever step %c1 {
        aie.use_lock(%shared_full, AcquireGreaterEqual, 1)
        aie.use_lock(%y_free, AcquireGreaterEqual, 1)
        scf.for %i = %c0 to %c4 step %c1 {
          scf.for %j = %c0 to %c4 step %c1 {
            %row = arith.muli %i, %c4 : index
            %at = arith.addi %row, %j : index
            %v = memref.load %shared[%i, %j] : memref<4x4xi32>
            %negative = arith.cmpi slt, %v, %zero : i32
            %opposite = arith.subi %zero, %v : i32
            %magnitude = arith.select %negative, %opposite, %v : i32
            memref.store %magnitude, %y[%at] : memref<16xi32>
          }
        }
        aie.use_lock(%shared_free, Release, 1)
        aie.use_lock(%y_full, Release, 1)
      }
      aie.end
    }
  }
}
