// The operands of a run as its cores see them, row by row, for the check.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_DECODED_ROWS_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_DECODED_ROWS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "xla_ffi/npu/verify/arithmetic.h"
#include "xla_ffi/npu/verify/check.h"

namespace jax_npu {

constexpr int64_t kChunk = 1024;  // columns of B that are decoded at a time

// Weights of values for the rounding error, both (count, n): each value's magnitude, or
// with `by_block` the largest magnitude of its column, whose exponent all share.
void WeighRows(const float* values, int64_t count, int64_t n, bool by_block,
               float* weights);

// A decoded row of A.
struct RowOfA {
  std::vector<float> values, weights;  // (k,)
  double mass = 0;                     // sum of the weights
};

RowOfA DecodeRowOfA(const GemmImages& images, int64_t entry, int64_t row,
                    const CheckRule& rule);

// A part of a decoded row of B: columns [first, first + size) of row k.
struct RowPart {
  int64_t k, first, size;
  float *values, *weights;
};

// Calls visit(RowPart) for every part of a batch entry's B, (k, n), chunk of columns by
// chunk of columns, decoded in blocks along k.
template <typename Visit>
void ForRowsOfB(const GemmImages& images, int64_t entry, const CheckRule& rule,
                const Visit& visit) {
  const int64_t num_k = images.k, num_n = images.n;
  const uint16_t* b = images.b + entry * num_k * num_n;
  uint16_t turned[kBfp16Block * kChunk];                              // (count, size)
  float values[kBfp16Block * kChunk], weights[kBfp16Block * kChunk];  // likewise
  for (int64_t first = 0; first < num_n; first += kChunk) {
    const int64_t size = std::min(kChunk, num_n - first);
    for (int64_t k = 0; k < num_k; k += kBfp16Block) {
      const int64_t count = std::min(kBfp16Block, num_k - k);
      const uint16_t* rows = b + k * num_n + first;
      int64_t stride = num_n;
      if (images.b_column_major) {
        for (int64_t i = 0; i < count; ++i) {
          for (int64_t j = 0; j < size; ++j) {
            turned[i * size + j] = b[(first + j) * num_k + k + i];
          }
        }
        rows = turned;
        stride = size;
      }
      DecodeRows(rule.arithmetic, rows, stride, count, size, values);
      WeighRows(values, count, size, rule.weighs_by_block, weights);
      for (int64_t i = 0; i < count; ++i) {
        visit(RowPart{k + i, first, size, values + i * size, weights + i * size});
      }
    }
  }
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_VERIFY_DECODED_ROWS_H_
