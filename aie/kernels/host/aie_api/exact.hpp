// AIE2's bf16 mac on the host's vectors, equal to the reference bit for bit.
//
// A product of two bf16 is exact in a double. Adding C = 1.5 * 2^(e + 29), where e is
// the largest exponent of the lane, rounds it to a multiple of 2^(e - 23), which is the
// grid, to nearest even; the multiple stands in the low bits of the sum. So the terms
// of a lane are added as integers, and the conversion of that integer to f32 is the one
// rounding.
#pragma once

#include "reference.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

// n bf16 as the mac needs them. An exponent is biased by 127; that of 0 is below any
// sum.
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
    const U32 word = Convert<U32>(Load<U16>(bits + i)) << 16;
    Store(values + i, Convert<Vec<double, kLanes>>(Bits<Vec<float, kLanes>>(word)));
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

// Largest exponents of the 8 products of each output of `kRows` rows of A, biased by
// 254. A register holds these rows, 8 words each; a word belongs to one column of B and
// one k.
template <unsigned t>
struct ProductExponents {
  static constexpr unsigned kRows = kWords / 8;
  using I16 = Vec<std::int16_t, kWords>;

  static void Of(const std::int16_t* a, const std::int16_t* b,
                 std::int16_t* exponents) {
    const I16 rows = Load<I16>(a);
    I16 largest = Sum(rows, b, 0);
    for (unsigned step = 1; step < t; ++step) {
      largest = Max(largest, Sum(rows, b, step));
    }
    if constexpr (t == 8) {
      Store(exponents, largest);
    } else {
      I16 other_half;
      for (unsigned w = 0; w < kWords; ++w) other_half[w] = w / 8 * 8 + (w + 4) % 8;
      largest = Max(largest, __builtin_shuffle(largest, other_half));
      // Words 0 to 3 of each row.
      StoreEven(exponents, Bits<Vec<std::int64_t, kWords / 4>>(largest),
                std::make_integer_sequence<int, kRows>());
    }
  }

 private:
  template <typename V, int... i>
  static void StoreEven(std::int16_t* to, V v, std::integer_sequence<int, i...>) {
    if constexpr (sizeof...(i) == 1) {
      Store(to, v[0]);
    } else {
      Store(to, __builtin_shufflevector(v, v, 2 * i...));
    }
  }

  static I16 Sum(I16 rows, const std::int16_t* b, unsigned step) {
    I16 k;  // of each word
    for (unsigned w = 0; w < kWords; ++w) k[w] = w / 8 * 8 + (step * 8 + w % 8) / t;
    return __builtin_shuffle(rows, k) +
           Repeat<kWords, Vec<std::int16_t, 8>>(b + step * 8);
  }
};

// The operands of kLanes outputs, which are consecutive in [r][t], for one k. A
// register wider than a row of outputs takes two rows.
template <unsigned t>
inline Vec<double, kLanes> LhsLanes(const double* a, unsigned lane, unsigned k) {
  const double* x = a + lane / t * 8 + k;
  if constexpr (kLanes <= t) {
    return Splat<kLanes>(*x);
  } else {
#if defined(__AVX512F__)
    return _mm512_mask_broadcastsd_pd(_mm512_set1_pd(x[0]), 0xF0, _mm_load_sd(x + 8));
#endif
  }
}

template <unsigned t>
inline Vec<double, kLanes> RhsLanes(const double* b, unsigned lane, unsigned k) {
  if constexpr (kLanes <= t) {
    return Load<Vec<double, kLanes>>(b + k * t + lane % t);
  } else {
    return Repeat<kLanes, Vec<double, t>>(b + k * t);
  }
}

// c += a b for finite a (r, 8) and b (8, t).
template <unsigned r, unsigned t>
AIE_HOST_NOINLINE void MacFinite(const Operand<r * 8>& a, const Operand<8 * t>& b,
                                 float* c) {
  using F64 = Vec<double, kLanes>;
  using I64 = Vec<std::int64_t, kLanes>;
  using F32 = Vec<float, kLanes>;
  using I32 = Vec<std::int32_t, kLanes>;

  alignas(64) std::int16_t exponents[r * t];
  constexpr unsigned kRows = ProductExponents<t>::kRows;
  for (unsigned i = 0; i < r; i += kRows) {
    ProductExponents<t>::Of(a.exponents + i * 8, b.exponents, exponents + i * t);
  }

#pragma GCC unroll 32
  for (unsigned lane = 0; lane < r * t; lane += kLanes) {
    const I32 acc = Load<I32>(c + lane);
    const I32 acc_field = (acc >> 23) & 255;
    I32 largest = Max(acc_field, I32{} + 1) + 127;
    largest = (acc & 0x7FFFFFFF) == 0 ? I32{} : largest;
    largest =
        Max(largest, Convert<I32>(Load<Vec<std::int16_t, kLanes>>(exponents + lane)));

    // 1.5 * 2^(largest - 254 + 29), whose low 32 bits are 0.
    const F64 grid = Bits<F64>((Convert<I64>(largest + (29 - 254 + 1023)) << 52) |
                               (std::int64_t{1} << 51));
    I64 sum = Bits<I64>(Convert<F64>(Bits<F32>(acc)) + grid);
#pragma GCC unroll 8
    for (unsigned k = 0; k < 8; ++k) {
      sum += Bits<I64>(LhsLanes<t>(a.values, lane, k) * RhsLanes<t>(b.values, lane, k) +
                       grid);
    }
    const I32 multiple = Convert<I32>(sum);

    // multiple * 2^(largest - 254 - 23), flushed or overflowing.
    const I32 rounded = Bits<I32>(Convert<F32>(multiple));
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
