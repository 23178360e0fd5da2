// The operands of a run as its cores see them, row by row, for the check.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_DECODED_ROWS_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_DECODED_ROWS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "xla_ffi/npu/images/layout.h"
#include "xla_ffi/npu/verify/arithmetic.h"
#include "xla_ffi/npu/verify/check.h"

namespace jax_npu {

constexpr int64_t kChunk = 1024;  // columns of B that are decoded at a time
static_assert(kChunk % kImageBlock == 0 && kBfp16Block == kImageBlock,
              "images in tiles are read in whole blocks");

// Weights of values for the rounding error, both (count, n): each value's magnitude, or
// with `by_block` the largest magnitude of its column, whose exponent all share.
void WeighRows(const float* values, int64_t count, int64_t n, bool by_block,
               float* weights);

// A decoded row of A.
struct RowOfA {
  std::vector<float> values, weights;  // (k,)
  double mass = 0;                     // sum of the weights
};

// The rows of a batch entry's A, which are read from the image a few at a time.
class DecodedRowsOfA {
 public:
  DecodedRowsOfA(const GemmImages& images, int64_t entry, const CheckRule& rule)
      : image_(images.A(entry)),
        num_rows_(images.m),
        rule_(rule),
        scratch_(kImageBlock * images.k) {}

  RowOfA Row(int64_t row);

 private:
  const OperandImage image_;
  const int64_t num_rows_;
  const CheckRule rule_;
  std::vector<uint16_t> scratch_;
  Range read_{0, 0};  // the rows in rows_
  Rows rows_{nullptr, 0};
};

// Calls visit(Range of k, Range of columns, Rows) for every block along k of a batch
// entry's B, chunk of columns by chunk of columns.
template <typename Visit>
void ForBlocksOfB(const GemmImages& images, int64_t entry, const Visit& visit) {
  const OperandImage b = images.B(entry);
  uint16_t scratch[kBfp16Block * kChunk];
  for (int64_t first = 0; first < images.n; first += kChunk) {
    const Range columns = {first, std::min(kChunk, images.n - first)};
    for (int64_t first_k = 0; first_k < images.k; first_k += kBfp16Block) {
      const Range k = {first_k, std::min(kBfp16Block, images.k - first_k)};
      visit(k, columns, ReadAcrossK(b, k, columns, scratch));
    }
  }
}

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
  float values[kBfp16Block * kChunk], weights[kBfp16Block * kChunk];  // (count, size)
  ForBlocksOfB(images, entry, [&](Range k, Range columns, Rows rows) {
    const int64_t size = columns.size;
    DecodeRows(rule.arithmetic, rows.data, rows.stride, k.size, size, values);
    WeighRows(values, k.size, size, rule.weighs_by_block, weights);
    for (int64_t i = 0; i < k.size; ++i) {
      visit(RowPart{k.first + i, columns.first, size, values + i * size,
                    weights + i * size});
    }
  });
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_VERIFY_DECODED_ROWS_H_
