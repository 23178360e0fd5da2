#include "aie/sim/program/zero_product.h"

namespace jax_npu::sim {
namespace {

constexpr int64_t kPiece = 256;  // elements between looks at the result so far

// Whether no element has a bit of `mask`; -0 has none but its sign.
bool IsZero(const void* data, int64_t size, uint32_t mask) {
  const auto* words = static_cast<const uint32_t*>(data);
  for (int64_t first = 0; first < size; first += kPiece) {
    const int64_t end = first + kPiece < size ? first + kPiece : size;
    uint32_t bits = 0;
    for (int64_t i = first; i < end; ++i) bits |= words[i] & mask;
    if (bits != 0) return false;
  }
  return true;
}

bool IsFinite(const void* data, int64_t size) {
  constexpr uint16_t kExponent = 0x7F80;
  const auto* values = static_cast<const uint16_t*>(data);
  bool is_finite = true;
  for (int64_t i = 0; i < size; ++i) {
    is_finite &= (values[i] & kExponent) != kExponent;
  }
  return is_finite;
}

}  // namespace

bool AddsNothing(const void* a, int64_t a_size, const void* b, int64_t b_size,
                 const void* c, int64_t c_words) {
  constexpr uint32_t kNoSigns = 0x7FFF7FFF, kAllBits = 0xFFFFFFFF;
  const bool a_is_zero = IsZero(a, a_size / 2, kNoSigns);
  if (!a_is_zero && !IsZero(b, b_size / 2, kNoSigns)) return false;
  return IsZero(c, c_words, kAllBits) &&
         (a_is_zero ? IsFinite(b, b_size) : IsFinite(a, a_size));
}

}  // namespace jax_npu::sim
