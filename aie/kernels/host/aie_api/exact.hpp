// AIE2's bf16 mac on the host's vectors, equal to the reference bit for bit.
//
// A product of two bf16 is exact in a double. Adding C = 1.5 * 2^(e + 29), where e is the
// largest exponent of the lane, rounds it to a multiple of 2^(e - 23), which is the grid,
// to nearest even; the multiple stands in the low bits of the sum. So the terms of a lane
// are added as integers, and the conversion of that integer to f32 is the one rounding.
#pragma once

#include "reference.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

// n bf16 as the mac needs them. An exponent is biased by 127; that of 0 is below any sum.
template <unsigned n>
struct Operand {
  alignas(64) double values[n];
  alignas(64) std::int16_t exponents[n];
  alignas(64) std::uint16_t bits[n];
  bool finite;

  void Decode();
};

constexpr std::int16_t kExponentOfZero = -1024;
constexpr unsigned kWords = 4 * kLanes;  // 16-bit lanes of a register

template <unsigned n>
AIE_HOST_NOINLINE void Operand<n>::Decode() {
  using I16 = Vec<std::int16_t, kWords>;
  I16 not_finite = {};
  for (unsigned i = 0; i < n; i += kWords) {
    const I16 word = Load<I16>(bits + i);
    const I16 field = (word >> 7) & 255;
    I16 exponent = Max(field, I16{} + std::int16_t{1});
    exponent = (word & 0x7FFF) == 0 ? I16{} + kExponentOfZero : exponent;
    not_finite |= field == 255;
    Store(exponents + i, exponent);
  }
  for (unsigned i = 0; i < n; i += kLanes) {
    using U16 = Vec<std::uint16_t, kLanes>;
    using U32 = Vec<std::uint32_t, kLanes>;
    const U32 word = __builtin_convertvector(Load<U16>(bits + i), U32) << 16;
    Store(values + i, __builtin_convertvector(Bits<Vec<float, kLanes>>(word),
                                              Vec<double, kLanes>));
  }
#if defined(__AVX512BW__)
  finite = _mm512_movepi16_mask(Bits<__m512i>(not_finite)) == 0;
#elif defined(__AVX2__)
  finite = _mm256_movemask_epi8(Bits<__m256i>(not_finite)) == 0;
#else
  const auto halves = Bits<Vec<std::uint64_t, 2>>(not_finite);
  finite = (halves[0] | halves[1]) == 0;
#endif
}

// Largest exponent of the 8 products of each output, biased by 254. A register holds
// several rows of A, 8 words each; a word belongs to one column of B and one k.
template <unsigned t>
struct ProductExponents {
  static constexpr unsigned kRows = kWords / 8;
  using I16 = Vec<std::int16_t, kWords>;

  // exponents[i * 8 + j] for kRows rows of A.
  static void Of(const std::int16_t* a, const std::int16_t* b, std::int16_t* exponents) {
    const I16 rows = Load<I16>(a);
    I16 largest = Sum(rows, b, 0);
    for (unsigned step = 1; step < t; ++step) {
      largest = Max(largest, Sum(rows, b, step));
    }
    if constexpr (t == 4) {
      I16 other_half;
      for (unsigned w = 0; w < kWords; ++w) other_half[w] = w / 8 * 8 + (w + 4) % 8;
      largest = Max(largest, __builtin_shuffle(largest, other_half));
    }
    Store(exponents, largest);
  }

 private:
  static I16 Sum(I16 rows, const std::int16_t* b, unsigned step) {
    I16 k;  // of each word
    for (unsigned w = 0; w < kWords; ++w) k[w] = w / 8 * 8 + (step * 8 + w % 8) / t;
    const auto columns = Load<Vec<std::int16_t, 8>>(b + step * 8);
    return __builtin_shuffle(rows, k) + Join<kWords>(columns, columns);
  }
};

// The operands of kLanes outputs, which are consecutive in [r][t]. A register wider than a
// row of outputs takes two rows.
template <unsigned t, unsigned lanes = kLanes>
struct OutputLanes {
  static constexpr bool kTwoRows = lanes > t;
  using F64 = Vec<double, lanes>;
  using I16 = Vec<std::int16_t, lanes>;

  static F64 Lhs(const double* a, unsigned lane, unsigned k) {
    const double* x = a + lane / t * 8 + k;
    if constexpr (kTwoRows) {
      using Row = Vec<double, t>;
      return Join<lanes>(Row{} + x[0], Row{} + x[8]);
    } else {
      return F64{} + *x;
    }
  }

  static F64 Rhs(const double* b, unsigned lane, unsigned k) {
    if constexpr (kTwoRows) {
      const auto row = Load<Vec<double, t>>(b + k * t);
      return Join<lanes>(row, row);
    } else {
      return Load<F64>(b + k * t + lane % t);
    }
  }

  static I16 Exponents(const std::int16_t* exponents, unsigned lane) {
    const std::int16_t* row = exponents + lane / t * 8;
    if constexpr (kTwoRows) {
      using Row = Vec<std::int16_t, t>;
      return Join<lanes>(Load<Row>(row), Load<Row>(row + 8));
    } else {
      return Load<I16>(row + lane % t);
    }
  }
};

// c += a b for finite a (r, 8) and b (8, t).
template <unsigned r, unsigned t>
AIE_HOST_NOINLINE void MacFinite(const Operand<r * 8>& a, const Operand<8 * t>& b, float* c) {
  using Lanes = OutputLanes<t>;
  using F64 = Vec<double, kLanes>;
  using I64 = Vec<std::int64_t, kLanes>;
  using F32 = Vec<float, kLanes>;
  using I32 = Vec<std::int32_t, kLanes>;

  alignas(64) std::int16_t exponents[r * 8];
  constexpr unsigned kRows = ProductExponents<t>::kRows;
  for (unsigned i = 0; i < r; i += kRows) {
    ProductExponents<t>::Of(a.exponents + i * 8, b.exponents, exponents + i * 8);
  }

#pragma GCC unroll 32
  for (unsigned lane = 0; lane < r * t; lane += kLanes) {
    const I32 acc = Load<I32>(c + lane);
    const I32 acc_field = (acc >> 23) & 255;
    I32 largest = Max(acc_field, I32{} + 1) + 127;
    largest = (acc & 0x7FFFFFFF) == 0 ? I32{} : largest;
    largest = Max(largest, __builtin_convertvector(
                               Lanes::Exponents(exponents, lane), I32));

    // 1.5 * 2^(largest - 254 + 29), whose low 32 bits are 0.
    const F64 grid = Bits<F64>(
        (__builtin_convertvector(largest + (29 - 254 + 1023), I64) << 52) |
        (std::int64_t{1} << 51));
    I64 sum = Bits<I64>(__builtin_convertvector(Bits<F32>(acc), F64) + grid);
#pragma GCC unroll 8
    for (unsigned k = 0; k < 8; ++k) {
      sum += Bits<I64>(Lanes::Lhs(a.values, lane, k) * Lanes::Rhs(b.values, lane, k) +
                       grid);
    }
    const I32 multiple = __builtin_convertvector(sum, I32);

    // multiple * 2^(largest - 254 - 23), flushed or overflowing.
    const I32 rounded = Bits<I32>(__builtin_convertvector(multiple, F32));
    const I32 scale = largest - (254 + kGridBits);
    const I32 field = ((rounded >> 23) & 255) + scale;
    const I32 infinity = (rounded & std::int32_t(0x80000000)) | I32(I32{} + 0x7F800000);
    I32 result = rounded + (scale << 23);
    result = field >= 255 ? infinity : result;
    result = (field <= 0) | (multiple == 0) ? I32{} : result;
    result = acc_field == 255 ? acc : result;  // only the accumulator is not finite
    Store(c + lane, result);
  }
}

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
