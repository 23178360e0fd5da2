#include "xla_ffi/npu/plan.h"

#include <stdexcept>
#include <string>

namespace jax_npu {
namespace {

[[noreturn]] void Refuse(const std::string& problem) {
  throw std::invalid_argument("the plan " + problem +
                              "; the program was not made for these arrays");
}

std::string Text(const int64_t (&numbers)[3]) {
  return "(" + std::to_string(numbers[0]) + ", " + std::to_string(numbers[1]) + ", " +
         std::to_string(numbers[2]) + ")";
}

bool IsBlock(int64_t size) { return size >= 1 && size <= kMaxBlock; }

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

std::string DescribeMultiples(const NpuPlan& plan) {
  return "rounds m and n up to multiples of " + std::to_string(plan.m_multiple) +
         " and " + std::to_string(plan.n_multiple);
}

// Marks the blocks that a run computes, (batch, rows, columns) of them all.
void MarkBlocks(const NpuRun& run, const int64_t (&blocks)[3],
                std::vector<bool>& is_computed) {
  for (int i = 0; i < 3; ++i) {
    if (run.start[i] < 0 || run.grid[i] < 1 || run.start[i] >= blocks[i] ||
        run.grid[i] > blocks[i] - run.start[i]) {
      Refuse("has a run of " + Text(run.grid) + " blocks from " + Text(run.start) +
             " on, of " + Text(blocks));
    }
  }
  for (int64_t b = run.start[0]; b < run.start[0] + run.grid[0]; ++b) {
    for (int64_t row = run.start[1]; row < run.start[1] + run.grid[1]; ++row) {
      for (int64_t j = run.start[2]; j < run.start[2] + run.grid[2]; ++j) {
        const int64_t index = (b * blocks[1] + row) * blocks[2] + j;
        if (is_computed[index]) Refuse("computes a block twice");
        is_computed[index] = true;
      }
    }
  }
}

}  // namespace

void RequireWholeTiles(const NpuPlan& plan) {
  if (!plan.a.is_tiled && !plan.b.is_tiled) return;
  const std::string not_tiles =
      ", which are not tiles of " + std::to_string(kImageTile);
  for (const int64_t size : {plan.block_m, plan.block_n, plan.padded_k}) {
    if (size % kImageTile == 0) continue;
    Refuse("has blocks of " + std::to_string(plan.block_m) + " x " +
           std::to_string(plan.block_n) + " and k = " + std::to_string(plan.padded_k) +
           not_tiles);
  }
  for (const int64_t multiple : {plan.m_multiple, plan.n_multiple}) {
    if (multiple % kImageTile != 0) Refuse(DescribeMultiples(plan) + not_tiles);
  }
}

void RequireFits(const NpuPlan& plan, const GemmSizes& sizes) {
  if (!IsBlock(plan.block_m) || !IsBlock(plan.block_n)) {
    Refuse("has blocks of " + std::to_string(plan.block_m) + " x " +
           std::to_string(plan.block_n));
  }
  if (!IsBlock(plan.m_multiple) || !IsBlock(plan.n_multiple)) {
    Refuse(DescribeMultiples(plan));
  }
  if (sizes.batch < 1 || sizes.m < 1 || sizes.k < 1 || sizes.n < 1) {
    Refuse("is for an empty product");
  }
  if (plan.padded_k < sizes.k || plan.padded_k - sizes.k >= kMaxBlock) {
    Refuse("pads k = " + std::to_string(sizes.k) + " to " +
           std::to_string(plan.padded_k));
  }
  RequireWholeTiles(plan);
  const int64_t blocks[] = {sizes.batch, DivideUp(sizes.m, plan.block_m),
                            DivideUp(sizes.n, plan.block_n)};
  const int64_t num_blocks = blocks[0] * blocks[1] * blocks[2];
  std::vector<bool> is_computed(num_blocks);
  int64_t num_computed = 0;
  for (const NpuRun& run : plan.runs) {
    MarkBlocks(run, blocks, is_computed);
    num_computed += run.grid[0] * run.grid[1] * run.grid[2];
  }
  if (num_computed != num_blocks) {
    Refuse("computes " + std::to_string(num_computed) + " of " +
           std::to_string(num_blocks) + " blocks");
  }
}

}  // namespace jax_npu
