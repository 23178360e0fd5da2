// The macs that are not AIE2's: AIE2P's exact one, AIE2P through bfp16, and plain f32.
#pragma once

#include "exact.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

// x y + sum, rounded once.
template <typename Row>
inline Row Fused(Row x, Row y, Row sum) {
#if defined(__FMA__)
  if constexpr (sizeof(Row) == 32) {
    return _mm256_fmadd_ps(x, y, sum);
  } else {
    return _mm_fmadd_ps(x, y, sum);
  }
#else
  for (unsigned j = 0; j < sizeof(Row) / 4; ++j) {
    sum[j] = __builtin_fmaf(x[j], y[j], sum[j]);
  }
  return sum;
#endif
}

template <unsigned n>
inline void ToF32(const std::uint16_t* bits, float* to) {
  for (unsigned i = 0; i < n; ++i) to[i] = Bits<float>(std::uint32_t{bits[i]} << 16);
}

// Outputs of one row that are computed together.
template <unsigned t>
using FloatLanes = Vec < float,
      t<2 * kLanes ? t : 2 * kLanes>;

// c += a b, one k after the other.
template <unsigned r, unsigned t, typename Add>
inline void MacByK(const Operand<r * 8>& a, const Operand<8 * t>& b, float* c,
                   Add add) {
  using Row = FloatLanes<t>;
  constexpr unsigned kWidth = sizeof(Row) / sizeof(float);
  alignas(64) float x[r * 8], y[8 * t];
  ToF32<r * 8>(a.bits, x);
  ToF32<8 * t>(b.bits, y);
  for (unsigned i = 0; i < r; ++i) {
    for (unsigned j = 0; j < t; j += kWidth) {
      Row sum = Load<Row>(c + i * t + j);
      for (unsigned k = 0; k < 8; ++k) {
        sum = add(Splat<kWidth>(x[i * 8 + k]), Load<Row>(y + k * t + j), sum);
      }
      Store(c + i * t + j, sum);
    }
  }
}

template <unsigned r, unsigned t>
AIE_HOST_NOINLINE void MacSequential(const Operand<r * 8>& a, const Operand<8 * t>& b,
                                     float* c) {
  using Row = FloatLanes<t>;
  using Word = Vec<std::int32_t, sizeof(Row) / 4>;
  MacByK<r, t>(a, b, c, [](Row x, Row y, Row sum) {
    const Word word = Bits<Word>(Fused(x, y, sum));
    return Bits<Row>((word & 0x7F800000) == 0 ? Word{} : word);
  });
  for (unsigned i = 0; i < r * t; ++i) {
    if (c[i] != c[i]) c[i] = Bits<float>(kNan);
  }
}

template <unsigned r, unsigned t>
AIE_HOST_NOINLINE void MacFast(const Operand<r * 8>& a, const Operand<8 * t>& b,
                               float* c) {
  using Row = FloatLanes<t>;
  MacByK<r, t>(a, b, c, [](Row x, Row y, Row sum) { return sum + x * y; });
}

// mantissas * 2^(exponents - 127 - 6), of an operand's n elements. The exponent is that
// of the largest of 8 consecutive k, 255 where an element is not finite.
template <unsigned n>
struct Blocks {
  std::int32_t mantissas[n];
  std::int32_t exponents[n];

  // 8 k of a block are k_stride elements apart.
  template <bool floor, unsigned k_stride>
  void Of(const std::uint16_t* bits) {
    std::int32_t fields[n];
    for (unsigned i = 0; i < n; ++i) {
      fields[i] = bits[i] >> 7 & 255;
      fields[i] = fields[i] > 1 ? fields[i] : 1;
    }
    for (unsigned first = 0; first < n; first += 8 * k_stride) {
      std::int32_t largest[k_stride] = {};
      for (unsigned i = 0; i < 8 * k_stride; ++i) {
        std::int32_t& x = largest[i % k_stride];
        x = x > fields[first + i] ? x : fields[first + i];
      }
      for (unsigned i = 0; i < 8 * k_stride; ++i) {
        exponents[first + i] = largest[i % k_stride];
      }
    }
    for (unsigned i = 0; i < n; ++i) {
      const std::int32_t word = bits[i];
      const std::int32_t magnitude = (word & 127) | ((word & 0x7F80) != 0 ? 128 : 0);
      const std::int32_t value = word & 0x8000 ? -magnitude : magnitude;
      // The significand of the largest loses one bit, to make room for the sign.
      std::int32_t shift = exponents[i] - fields[i] + 1;
      shift = shift < 12 ? shift : 12;
      const std::int32_t half =
          floor ? 0 : (1 << (shift - 1)) - 1 + (value >> shift & 1);
      const std::int32_t mantissa = (value + half) >> shift;
      mantissas[i] = mantissa < 127 ? mantissa : 127;
    }
  }
};

template <unsigned r, unsigned t, bool floor>
AIE_HOST_NOINLINE void MacBlocks(const Operand<r * 8>& a, const Operand<8 * t>& b,
                                 float* c) {
  Blocks<r * 8> rows;
  Blocks<8 * t> columns;
  rows.template Of<floor, 1>(a.bits);
  columns.template Of<floor, t>(b.bits);
  for (unsigned i = 0; i < r; ++i) {
    std::int32_t sums[t] = {};
    for (unsigned k = 0; k < 8; ++k) {
      for (unsigned j = 0; j < t; ++j) {
        sums[j] += rows.mantissas[i * 8 + k] * columns.mantissas[k * t + j];
      }
    }
    for (unsigned j = 0; j < t; ++j) {
      const std::int64_t row = rows.exponents[i * 8], column = columns.exponents[j];
      const double scale = Bits<double>((row + column - 2 * (127 + 6) + 1023) << 52);
      // One rounding: the operands have 24 and 18 bits, so that their sum is exact in
      // double or too far from a tie for a second one to show.
      const float sum = static_cast<float>(c[i * t + j] + sums[j] * scale);
      const float flushed = __builtin_fabsf(sum) < 0x1p-126f ? 0.0f : sum;
      const bool is_nan = row == 255 || column == 255 || sum != sum;
      c[i * t + j] = is_nan ? Bits<float>(kNan) : flushed;
    }
  }
}

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
