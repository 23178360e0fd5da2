#include "aie/sim/program/zero_product.h"

#include <algorithm>

namespace jax_npu::sim {
namespace {

constexpr int64_t kPiece = 256;  // words between looks at the result so far

// Whether bits(word) is 0 for all words; whole pieces are loops of vectors.
template <typename Bits>
bool AreZero(const void* data, int64_t num_words, Bits bits) {
  const auto* words = static_cast<const uint32_t*>(data);
  const uint32_t* end = words + num_words;
  for (; end - words >= kPiece; words += kPiece) {
    uint32_t found = 0;
    for (int64_t i = 0; i < kPiece; ++i) found |= bits(words[i]);
    if (found != 0) return false;
  }
  uint32_t found = 0;
  for (; words != end; ++words) found |= bits(*words);
  return found == 0;
}

// Whether no word has a bit of `mask`; -0 has none but its sign.
bool IsZero(const void* data, int64_t num_words, uint32_t mask) {
  return AreZero(data, num_words, [=](uint32_t word) { return word & mask; });
}

// A word has two bf16: an exponent of ones, plus one, carries into the sign.
bool IsFinite(const void* data, int64_t num_words) {
  return AreZero(data, num_words, [](uint32_t word) {
    return ((word & 0x7F807F80) + 0x00800080) & 0x80008000;
  });
}

}  // namespace

bool AddsNothing(const void* a, int64_t a_size, const void* b, int64_t b_size,
                 const void* c, int64_t c_words) {
  constexpr uint32_t kNoSigns = 0x7FFF7FFF, kAllBits = 0xFFFFFFFF;
  const bool a_is_zero = IsZero(a, a_size / 2, kNoSigns);
  if (!a_is_zero && !IsZero(b, b_size / 2, kNoSigns)) return false;
  return IsZero(c, c_words, kAllBits) &&
         (a_is_zero ? IsFinite(b, b_size / 2) : IsFinite(a, a_size / 2));
}

int64_t KWithoutZeroTail(const void* a, int64_t m, const void* b, int64_t n,
                         int64_t k) {
  constexpr int64_t kSide = 16;
  constexpr uint32_t kAllBits = 0xFFFFFFFF;
  const auto is_zero = [](const void* operand, int64_t lines, int64_t first_k) {
    const int64_t words = kSide * lines / 2;  // of the lines' bf16 for kSide k
    const auto* start = static_cast<const uint32_t*>(operand) + first_k / kSide * words;
    return IsZero(start, words, kAllBits);
  };
  if (m % kSide != 0 || n % kSide != 0 || k % kSide != 0) return k;  // an error
  int64_t needed = k;
  while (needed > 0 && is_zero(a, m, needed - kSide) && is_zero(b, n, needed - kSide)) {
    needed -= kSide;
  }
  return std::min(needed + kSide, k);
}

}  // namespace jax_npu::sim
