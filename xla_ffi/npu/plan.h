// The plan of a GEMM on the array, which aie/xdna/gemm/tiling.py makes.

#ifndef JAX_NPU_XLA_FFI_NPU_PLAN_H_
#define JAX_NPU_XLA_FFI_NPU_PLAN_H_

#include <cstdint>
#include <vector>

#include "xla_ffi/npu/images/layout.h"

namespace jax_npu {

// One run of the array: a grid of blocks of C from `start` on, each (batch, row,
// column).
struct NpuRun {
  int64_t start[3], grid[3];
  int64_t num_words;  // instruction words of the run
};

// The blocks and the runs of a GEMM. A run with the grid (batch, rows, columns) has the
// images
//   A (batch, m, padded_k) in bf16,
//   B (batch, padded_k, n) in bf16,
//   C (batch, rows * block_m, columns * block_n) in f32.
// m is what is left of the operand, rounded up to a multiple of m_multiple, at most to
// the run's blocks; so is n. Blocks that stick out read on past an image's end. C is
// row-major, and A and B lie as `a` and `b` say.
struct NpuPlan {
  int64_t block_m, block_n, padded_k;
  int64_t m_multiple, n_multiple;
  ImageLayout a, b;
  bool swapped;  // the array computes Cᵀ = Bᵀ Aᵀ
  std::vector<NpuRun> runs;
};

// The sizes of a GEMM on the array: C (batch, m, n) = A (batch, m, k) B (batch, k, n).
// With several passes k is as many times as long.
struct GemmSizes {
  int64_t batch, m, k, n;
};

// Bounds what a plan pads, so that the images of any plan take as much memory as their
// operands do. No array has larger blocks, tiles or multiples.
constexpr int64_t kMaxBlock = 4096;

// Throws std::invalid_argument unless images in tiles consist of whole ones.
void RequireWholeTiles(const NpuPlan& plan);

// A plan is part of a program, which may come from anywhere. Throws
// std::invalid_argument unless the runs compute each block of a GEMM of these sizes
// once, with images that hold all of k.
void RequireFits(const NpuPlan& plan, const GemmSizes& sizes);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_PLAN_H_
