#include "xla_ffi/npu/verify/decoded_rows.h"

#include <cmath>

namespace jax_npu {

void WeighRows(const float* values, int64_t count, int64_t n, bool by_block,
               float* weights) {
  for (int64_t i = 0; i < count * n; ++i) weights[i] = std::abs(values[i]);
  if (!by_block) return;
  // The first row takes the maximum over all rows, then the others take the first.
  for (int64_t i = 1; i < count; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      weights[j] = std::max(weights[j], weights[i * n + j]);
    }
  }
  for (int64_t i = 1; i < count; ++i) std::copy_n(weights, n, weights + i * n);
}

RowOfA DecodedRowsOfA::Row(int64_t row) {
  const int64_t num_k = image_.num_k;
  if (row < read_.first || row >= read_.first + read_.size) {
    const int64_t first = row / kImageBlock * kImageBlock;
    read_ = {first, std::min(kImageBlock, num_rows_ - first)};
    rows_ = ReadAlongK(image_, read_, {0, num_k}, scratch_.data());
  }
  const uint16_t* a = rows_.data + (row - read_.first) * rows_.stride;  // (k,)
  RowOfA decoded{std::vector<float>(num_k), std::vector<float>(num_k), 0};
  for (int64_t k = 0; k < num_k; k += kBfp16Block) {
    const int64_t count = std::min(kBfp16Block, num_k - k);
    float* values = decoded.values.data() + k;
    DecodeRows(rule_.arithmetic, a + k, 1, count, 1, values);
    WeighRows(values, count, 1, rule_.weighs_by_block, decoded.weights.data() + k);
  }
  for (const float weight : decoded.weights) decoded.mass += weight;
  return decoded;
}

}  // namespace jax_npu
