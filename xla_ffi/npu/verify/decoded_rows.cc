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

RowOfA DecodeRowOfA(const GemmImages& images, int64_t entry, int64_t row,
                    const CheckRule& rule) {
  // (k,)
  const uint16_t* a = images.a + (entry * images.m + row) * images.k;
  RowOfA decoded{std::vector<float>(images.k), std::vector<float>(images.k), 0};
  for (int64_t k = 0; k < images.k; k += kBfp16Block) {
    const int64_t count = std::min(kBfp16Block, images.k - k);
    float* values = decoded.values.data() + k;
    DecodeRows(rule.arithmetic, a + k, 1, count, 1, values);
    WeighRows(values, count, 1, rule.weighs_by_block, decoded.weights.data() + k);
  }
  for (const float weight : decoded.weights) decoded.mass += weight;
  return decoded;
}

}  // namespace jax_npu
