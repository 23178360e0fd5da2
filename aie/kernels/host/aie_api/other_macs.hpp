// The macs that are not AIE2's: AIE2P's exact one, AIE2P through bfp16, and plain f32.
#pragma once

#include "exact.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

// An IEEE result as AIE2P's accumulator keeps it.
inline float Flushed(float x) {
  if (x != x) return Bits<float>(kNan);
  return __builtin_fabsf(x) < 0x1p-126f ? 0.0f : x;
}

// acc + x, rounded once: the sum in double is rounded to odd first.
inline float AddRounded(float acc, double x) {
  const double sum = acc + x;
  const double x_part = sum - acc;
  const double error = (acc - (sum - x_part)) + (x - x_part);
  std::int64_t bits = Bits<std::int64_t>(sum);
  const bool finite = (bits >> 52 & 0x7FF) != 0x7FF;
  if (finite && error != 0 && (bits & 1) == 0) {
    bits += (error > 0) == (sum > 0) ? 1 : -1;
  }
  return static_cast<float>(Bits<double>(bits));
}

template <unsigned r, unsigned t>
AIE_HOST_NOINLINE void MacSequential(const Operand<r * 8>& a, const Operand<8 * t>& b,
                                     float* c) {
  for (unsigned i = 0; i < r; ++i) {
    for (unsigned k = 0; k < 8; ++k) {
      const float x = static_cast<float>(a.values[i * 8 + k]);
      for (unsigned j = 0; j < t; ++j) {
        const float y = static_cast<float>(b.values[k * t + j]);
        c[i * t + j] = Flushed(__builtin_fmaf(x, y, c[i * t + j]));
      }
    }
  }
}

template <unsigned r, unsigned t>
AIE_HOST_NOINLINE void MacFast(const Operand<r * 8>& a, const Operand<8 * t>& b,
                               float* c) {
  for (unsigned i = 0; i < r; ++i) {
    for (unsigned k = 0; k < 8; ++k) {
      const float x = static_cast<float>(a.values[i * 8 + k]);
      for (unsigned j = 0; j < t; ++j) {
        c[i * t + j] += x * static_cast<float>(b.values[k * t + j]);
      }
    }
  }
}

// 8 consecutive k: mantissas[k] * 2^(exponent - 127 - 6), exponent that of the largest.
struct Block {
  std::int32_t mantissas[8];
  std::int32_t exponent;  // 255 where an element is not finite
};

template <bool floor>
inline Block ToBlock(const std::uint16_t* bits, unsigned stride) {
  Block block;
  block.exponent = 1;
  for (unsigned k = 0; k < 8; ++k) {
    const std::int32_t field = bits[k * stride] >> 7 & 255;
    block.exponent = field > block.exponent ? field : block.exponent;
  }
  for (unsigned k = 0; k < 8; ++k) {
    const std::int32_t word = bits[k * stride];
    const std::int32_t field = word >> 7 & 255;
    const std::int32_t magnitude = (word & 127) | (field != 0 ? 128 : 0);
    const std::int32_t value = word & 0x8000 ? -magnitude : magnitude;
    // The significand of the largest loses one bit, to make room for the sign.
    std::int32_t shift = block.exponent - (field != 0 ? field : 1) + 1;
    shift = shift < 12 ? shift : 12;
    const std::int32_t half = floor ? 0 : (1 << (shift - 1)) - 1 + (value >> shift & 1);
    const std::int32_t mantissa = (value + half) >> shift;
    block.mantissas[k] = mantissa < 127 ? mantissa : 127;
  }
  return block;
}

template <unsigned r, unsigned t, bool floor>
AIE_HOST_NOINLINE void MacBlocks(const Operand<r * 8>& a, const Operand<8 * t>& b,
                                 float* c) {
  Block columns[t];
  for (unsigned j = 0; j < t; ++j) columns[j] = ToBlock<floor>(b.bits + j, t);
  for (unsigned i = 0; i < r; ++i) {
    const Block row = ToBlock<floor>(a.bits + i * 8, 1);
    for (unsigned j = 0; j < t; ++j) {
      std::int64_t sum = 0;
      for (unsigned k = 0; k < 8; ++k) {
        sum += row.mantissas[k] * columns[j].mantissas[k];
      }
      const std::int64_t exponent = row.exponent + columns[j].exponent - 2 * (127 + 6);
      const double scale = Bits<double>((exponent + 1023) << 52);
      const bool finite = row.exponent != 255 && columns[j].exponent != 255;
      const float result = Flushed(AddRounded(c[i * t + j], sum * scale));
      c[i * t + j] = finite ? result : Bits<float>(kNan);
    }
  }
}

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
