// A GEMM on the NPU: packs images of the operands, runs streams, unpacks the result.

#ifndef JAX_NPU_XLA_FFI_NPU_GEMM_H_
#define JAX_NPU_XLA_FFI_NPU_GEMM_H_

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <vector>

#include "contraction.h"
#include "driver.h"
#include "host_gemm.h"
#include "npu_check.h"

namespace jax_npu {

// One run of the array: a grid of blocks of C from `start` on, each (batch, row,
// column).
struct NpuRun {
  int64_t start[3], grid[3];
  int64_t num_words;  // of its instructions
};

// What aie/design/tiling.py plans. The images of a run, by its grid (batch, rows,
// columns): A (batch, rows * block_m, padded_k) and B (batch, padded_k, columns *
// block_n) in bf16, C (batch, rows * block_m, columns * block_n) in f32, all row-major.
struct NpuPlan {
  int64_t block_m, block_n, padded_k;
  bool b_column_major;  // B's image is (batch, columns * block_n, padded_k)
  bool swapped;         // the array computes Cᵀ = Bᵀ Aᵀ
  std::vector<NpuRun> runs;
};

// What becomes of results that a check finds wrong: the host computes the product, or
// with `strict` it is an error.
struct CheckPolicy {
  CheckMode mode;
  bool strict;
  Tolerance tolerance;
};

// out = lhs rhs, summed over k and over `parts`; `words` are the instructions of all
// runs, one after the other.
struct NpuGemmRequest {
  NpuPlan plan;
  std::vector<uint32_t> words;
  Contraction contraction;
  PartPairs parts;
  Operand lhs, rhs;
  Result out;
  CheckPolicy check;
};

// Packs on the caller's threads and returns; `done` is called once, from any thread,
// when the result is there or with what went wrong. Operands and result must stay until
// then.
void NpuGemm(Driver& driver, NpuGemmRequest request, const ParallelLoop& parallel,
             std::function<void(std::exception_ptr)> done);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_GEMM_H_
