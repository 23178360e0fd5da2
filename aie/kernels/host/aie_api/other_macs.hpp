// The macs that are not AIE2's, one output lane at a time: AIE2P's exact one, AIE2P
// through bfp16, and plain f32. Of a and b, 8 k: a[k] and b[k * b_stride], as bits.
#pragma once

#include "reference.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

inline float ToF32(std::uint16_t bits) {
  return Bits<float>(std::uint32_t{bits} << 16);
}

inline float FlushedOrNan(float x) {
  if (x != x) return Bits<float>(kNan);
  return __builtin_fabsf(x) < 0x1p-126f ? 0.0f : x;
}

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

// mantissas * 2^(exponent - 127 - 6), of 8 consecutive k. The exponent is that of the
// largest, 255 where an element is not finite.
struct Block {
  int mantissas[8];
  int exponent = 1;

  Block(const std::uint16_t* bits, unsigned stride, bool floor) {
    int fields[8];
    for (int k = 0; k < 8; ++k) {
      fields[k] = bits[k * stride] >> 7 & 255;
      fields[k] = fields[k] ? fields[k] : 1;
      exponent = exponent > fields[k] ? exponent : fields[k];
    }
    for (int k = 0; k < 8; ++k) {
      const int word = bits[k * stride];
      const int magnitude = (word & 127) | (word & 0x7F80 ? 128 : 0);
      const int value = word & 0x8000 ? -magnitude : magnitude;
      // The significand of the largest loses one bit, to make room for the sign.
      int shift = exponent - fields[k] + 1;
      shift = shift < 12 ? shift : 12;
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
  int sum = 0;
  for (int k = 0; k < 8; ++k) sum += row.mantissas[k] * column.mantissas[k];
  const std::int64_t exponent = row.exponent + column.exponent - 2 * (127 + 6);
  // One rounding: the operands have 24 and 18 bits, so that their sum is exact in
  // double or too far from a tie for a second one to show.
  const double scale = Bits<double>((exponent + 1023) << 52);
  return FlushedOrNan(static_cast<float>(acc + sum * scale));
}

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
