// AIE2's bf16 mac on the host's vectors, equal to the reference bit for bit.
//
// A product of two bf16 is exact in a double. Let e be the largest exponent of the
// lane's terms and G = 1.5 * 2^(e + 29). A double has 52 bits behind the leading one,
// so that adding G rounds a term to a multiple of 2^(e + 29 - 52) = 2^(e - 23), which
// is the grid, to nearest even. The multiple then stands in the low 32 bits of G +
// term, because those of G are 0. So the terms of a lane are added as integers, modulo
// 2^32, and converting that integer to f32 is the one rounding.
#pragma once

#include "layout.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

class Exact {
 public:
  // c += a b, for row i of A and kLanes columns of B from j.
  struct Mac {
    static constexpr bool kIsFinite = true;
    const double *a, *b;          // [m][8] and (8, n) in strips
    const std::int16_t* largest;  // [m][n] exponents of products, plus 2 * 127
    std::size_t n;

    void operator()(std::size_t i, std::size_t j, float* c) const;
  };

  Mac Decode(const Panel& panel) {
    const std::size_t m = panel.m, n = panel.n;
    double *a = a_.AtLeast(m * 8), *b = b_.AtLeast(8 * n);
    DecodeValues(panel.a, m * 8, a);
    DecodeValues(panel.b, 8 * n, b);
    return {a, b, LargestExponents(panel), n};
  }

 private:
  // So low that the sum with any other exponent, 255 at most, is below all others.
  static constexpr std::int16_t kExponentOfZero = -1024;

  static void DecodeValues(const std::uint16_t* bits, std::size_t size, double* to) {
    for (std::size_t i = 0; i < size; i += kLanes / 2) Store(to + i, ToF64(bits + i));
  }

  // Biased exponents; a denormal's is 1.
  static I16 Exponents(I16 word) {
    const I16 exponent = Max((word >> 7) & 255, I16{} + std::int16_t{1});
    return (word & 0x7FFF) == 0 ? I16{} + kExponentOfZero : exponent;
  }

  // The largest exponent of each output's 8 products, [m][n]:
  // max_k exponent(a_ik) + exponent(b_kj). It is set only where A is dense and B not
  // zero.
  const std::int16_t* LargestExponents(const Panel& panel) {
    const std::size_t m = panel.m, n = panel.n;
    // Each of A's exponents twice: 32 bits are broadcast faster than 16.
    std::int32_t* pairs = pairs_.AtLeast(m * 8);
    for (std::size_t i = 0; i < m * 8; i += kLanes) {
      const I32 bits = Convert<I32>(Load<U16>(panel.a + i));
      Store(pairs + i, Bits<I32>(Exponents(Bits<I16>(bits | bits << 16))));
    }

    std::int16_t* largest = largest_.AtLeast(m * n);
    for (std::size_t j = 0; j < n; j += kStrip) {
      if (KindOfAll(panel.b_kinds + j / kLanes, 2) == kZero) continue;
      I16 columns[8];  // exponents of kStrip columns at each k
#pragma GCC unroll 8
      for (unsigned k = 0; k < 8; ++k) {
        columns[k] = Exponents(Load<I16>(panel.b + j * 8 + k * kStrip));
      }
      for (std::size_t i = 0; i < m; ++i) {
        if (panel.a_kinds[i] != kDense) continue;
        const std::int32_t* row = pairs + i * 8;
        I16 sums[8];
#pragma GCC unroll 8
        for (unsigned k = 0; k < 8; ++k) {
          sums[k] = Bits<I16>(Splat<I32>(row[k])) + columns[k];
        }
        const I16 low = Max(Max(sums[0], sums[1]), Max(sums[2], sums[3]));
        const I16 high = Max(Max(sums[4], sums[5]), Max(sums[6], sums[7]));
        Store(largest + i * n + j, Max(low, high));
      }
    }
    return largest;
  }

  Buffer<double> a_, b_;
  Buffer<std::int32_t> pairs_;
  Buffer<std::int16_t> largest_;
};

// Half of the words, each as the upper word of 64 bits whose lower one is 0.
template <unsigned half, int... i>
inline I32 HighWords(I32 words, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(
      I32{}, words, (i % 2 == 0 ? i : int(kLanes + half * kLanes / 2) + i / 2)...);
}

// The lower words of all 64-bit lanes of a, then b.
template <int... i>
inline I32 LowWords(U64 a, U64 b, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(Bits<I32>(a), Bits<I32>(b), 2 * i...);
}

inline void Exact::Mac::operator()(std::size_t i, std::size_t j, float* c) const {
  constexpr auto kWords = std::make_integer_sequence<int, kLanes>();
  const I32 acc = Load<I32>(c);
  const I32 acc_field = (acc >> 23) & 255;
  // e + 2 * 127, of the accumulator and the products; a zero accumulator has none.
  I32 exponent = Max(acc_field, I32{} + 1) + 127;
  exponent = (acc & 0x7FFFFFFF) == 0 ? I32{} : exponent;
  exponent =
      Max(exponent, Convert<I32>(Load<Vec<std::int16_t, kLanes>>(largest + i * n + j)));

  // G = 1.5 * 2^(exponent - 254 + 29): the upper words of doubles, whose exponent has
  // the bias 1023 and begins at bit 20; bit 19 is the 0.5.
  const I32 grids = ((exponent + (29 - 254 + 1023)) << 20) | (1 << 19);
  const auto grid_low = Bits<F64>(HighWords<0>(grids, kWords));
  const auto grid_high = Bits<F64>(HighWords<1>(grids, kWords));
  // The low words sum up acc + sum_k a_ik b_kj, in units of the grid.
  U64 low = Bits<U64>(HalfToF64<0>(Bits<F32>(acc)) + grid_low);
  U64 high = Bits<U64>(HalfToF64<1>(Bits<F32>(acc)) + grid_high);
  const double *row = a + i * 8, *columns = b + StripOffset<kStrip>(j);
#pragma GCC unroll 8
  for (unsigned k = 0; k < 8; ++k) {
    const F64 x = Splat<F64>(row[k]);
    const double* y = columns + k * kStrip;
    low += Bits<U64>(x * Load<F64>(y) + grid_low);
    high += Bits<U64>(x * Load<F64>(y + kLanes / 2) + grid_high);
  }
  const I32 multiple = LowWords(low, high, kWords);

  // multiple * 2^(exponent - 254 - 23), which is flushed below 2^-126 and may overflow:
  // `rounded` is f32(multiple), and `scale` is added to its exponent field.
  const I32 rounded = Bits<I32>(__builtin_convertvector(multiple, F32));
  const I32 scale = exponent - (254 + kGridBits);
  const I32 field = ((rounded >> 23) & 255) + scale;
  const I32 infinity = (rounded & std::int32_t(0x80000000)) | I32(I32{} + 0x7F800000);
  using U32 = Vec<std::uint32_t, kLanes>;  // lanes that are replaced below may wrap
  I32 result = Bits<I32>(Bits<U32>(rounded) + (Bits<U32>(scale) << 23));
  result = field >= 255 ? infinity : result;
  result = (field <= 0) | (multiple == 0) ? I32{} : result;
  // Here A and B are finite, so an accumulator that is not stays what it is.
  result = acc_field == 255 ? acc : result;
  Store(c, result);
}

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
