#include "xla_ffi/npu/part_order.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace jax_npu {
namespace {
#include "xla_ffi/base/bf16.inc"

// The largest biased exponent of an operand's finite values.
uint32_t LargestExponent(Operand operand, int64_t size) {
  constexpr uint32_t kMask = 0x7F800000u;  // the exponent's 8 bits
  uint32_t largest = 0;
  const auto scan = [&](const auto* data) {
    for (int64_t i = 0; i < size; ++i) {
      const uint32_t exponent = LoadBits(data + i) & kMask;
      largest = std::max(largest, exponent == kMask ? 0 : exponent);
    }
  };
  if (operand.dtype == DType::kF32) {
    scan(static_cast<const float*>(operand.data));
  } else {
    scan(static_cast<const uint16_t*>(operand.data));
  }
  return largest >> 23;
}

}  // namespace

PartPairs OrderParts(PartPairs parts, const Contraction& contraction, Operand lhs,
                     Operand rhs) {
  if (parts.size() == 1) return parts;
  const int64_t k = contraction.k.size(), batch = contraction.batch.size();
  // A bound on log2 of the sum of all products, with both exponents' biases in it.
  const double largest = LargestExponent(lhs, batch * contraction.m.size() * k) +
                         LargestExponent(rhs, batch * contraction.n.size() * k) +
                         std::log2(parts.size() * k);
  // Each exponent has a bias of 127 and each mantissa is below 2 (together + 2); in a
  // lower product one factor is at most 2^-8 of its value (- 8). f32 overflows at
  // 2^128, a margin of one is left.
  if (largest - 2 * 127 + 2 - 8 >= 127) {
    std::rotate(parts.begin(), parts.end() - 1, parts.end());
  }
  return parts;
}

}  // namespace jax_npu
