// The macs other than AIE2's, one output lane at a time: AIE2P's exact one, AIE2P
// through bfp16, and plain f32. Each returns acc + sum_k a_k b_k over 8 k, where a_k is
// a[k] and b_k is b[k * b_stride], as bits of bf16.
#pragma once

#include "reference.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

inline float ToF32(std::uint16_t bits) {
  return Bits<float>(std::uint32_t{bits} << 16);
}

// x, but +0 below 2^-126 and the one NaN for all.
inline float FlushedOrNan(float x) {
  if (x != x) return Bits<float>(kNan);
  return __builtin_fabsf(x) < 0x1p-126f ? 0.0f : x;
}

// acc = flush(fma(a_k, b_k, acc)) for each k in order.
inline float MacSequential(float acc, const std::uint16_t* a, const std::uint16_t* b,
                           unsigned b_stride) {
  for (int k = 0; k < 8; ++k) {
    acc = FlushedOrNan(__builtin_fmaf(ToF32(a[k]), ToF32(b[k * b_stride]), acc));
  }
  return acc;
}

inline float MacFast(float acc, const std::uint16_t* a, const std::uint16_t* b,
                     unsigned b_stride) {
  for (int k = 0; k < 8; ++k) acc += ToF32(a[k]) * ToF32(b[k * b_stride]);
  return acc;
}

// 8 consecutive k in bfp16: element k is mantissas[k] * 2^(exponent - 127 - 6). The
// exponent is the largest of the elements', biased; 255 if one is not finite.
struct Block {
  int mantissas[8];
  int exponent = 1;

  Block(const std::uint16_t* bits, unsigned stride, bool floor) {
    int fields[8];  // biased exponents; a denormal's is 1
    for (int k = 0; k < 8; ++k) {
      fields[k] = bits[k * stride] >> 7 & 255;
      fields[k] = fields[k] ? fields[k] : 1;
      exponent = exponent > fields[k] ? exponent : fields[k];
    }
    for (int k = 0; k < 8; ++k) {
      const int word = bits[k * stride];
      const int magnitude = (word & 127) | (word & 0x7F80 ? 128 : 0);
      const int value = word & 0x8000 ? -magnitude : magnitude;
      // A bf16's significand has 8 bits and a mantissa 7 and the sign, so that the
      // largest element loses one bit, too. Shifts beyond 12 give the same as 12.
      int shift = exponent - fields[k] + 1;
      shift = shift < 12 ? shift : 12;
      // (value + half) >> shift rounds to nearest even; without half, down.
      const int half = floor ? 0 : (1 << (shift - 1)) - 1 + (value >> shift & 1);
      const int mantissa = (value + half) >> shift;
      mantissas[k] = mantissa < 127 ? mantissa : 127;
    }
  }
};

inline float MacBlocks(float acc, const std::uint16_t* a, const std::uint16_t* b,
                       unsigned b_stride, bool floor) {
  const Block row(a, 1, floor), column(b, b_stride, floor);
  if (row.exponent == 255 || column.exponent == 255) return Bits<float>(kNan);
  int sum = 0;  // |sum| <= 8 * 128 * 128 = 2^17
  for (int k = 0; k < 8; ++k) sum += row.mantissas[k] * column.mantissas[k];
  const std::int64_t exponent = row.exponent + column.exponent - 2 * (127 + 6);
  // There is one rounding: acc has 24 bits and the sum 18, so that the total is exact
  // in double, or too far from a tie for a second rounding to change the result.
  const double scale = Bits<double>((exponent + 1023) << 52);  // 2^exponent
  return FlushedOrNan(static_cast<float>(acc + sum * scale));
}

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
