// AIE2P's mac through bfp16: blocks of 8 k with one exponent and 8-bit mantissas.
//
//   a_ik = mantissa_ik 2^(e_i - 6)   b_kj = mantissa_kj 2^(e_j - 6)
//   c_ij += (sum_k mantissa_ik mantissa_kj) 2^(e_i - 6) 2^(e_j - 6)
//
// The sum of 8 products of mantissas is exact in f32. One rounding adds it to the
// accumulator, which has 24 bits and the sum 18, so that the total is exact in double,
// or too far from a tie for a second rounding to change the result.
#pragma once

#include "layout.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

// One block of 8 k for each row of A, or for each column of B.
struct Blocks {
  const float* mantissas;  // (8, size) integers, in strips
  const double* scales;    // [size] 2^(e - 6); NaN where an element is not finite
};

// Rounds blocks of bf16 to bfp16: down with `floor`, else to nearest even.
template <bool floor, std::size_t strip>
class BlockDecoder {
 public:
  // `bits` are (8, size), in strips.
  Blocks Decode(const std::uint16_t* bits, std::size_t size) {
    float* mantissas = mantissas_.AtLeast(8 * size);
    double* scales = scales_.AtLeast(size);
    for (std::size_t i = 0; i < size; i += kLanes) {
      const std::size_t first = StripOffset<strip>(i);
      I32 words[8], fields[8], largest = {};  // biased exponents; a denormal's is 1
#pragma GCC unroll 8
      for (unsigned k = 0; k < 8; ++k) {
        words[k] = Convert<I32>(Load<U16>(bits + first + k * strip));
        fields[k] = Max((words[k] >> 7) & 255, I32{} + 1);
        largest = Max(largest, fields[k]);
      }
#pragma GCC unroll 8
      for (unsigned k = 0; k < 8; ++k) {
        const I32 mantissa = Mantissa(words[k], largest - fields[k]);
        Store(mantissas + first + k * strip, __builtin_convertvector(mantissa, F32));
      }
      StoreScales(largest, scales + i);
    }
    return {mantissas, scales};
  }

 private:
  static I32 Mantissa(I32 word, I32 exponents_below) {
    const I32 hidden = (word & 0x7F80) != 0 ? I32{} + 128 : I32{};
    const I32 magnitude = (word & 127) | hidden;
    const I32 value = (word & 0x8000) != 0 ? -magnitude : magnitude;
    // A bf16's significand has 8 bits and a mantissa 7 and the sign, so that the
    // largest element loses one bit, too. Shifts beyond 12 give the same as 12.
    const I32 shift = exponents_below < 11 ? exponents_below + 1 : I32{} + 12;
    // (value + half) >> shift rounds to nearest even; without half, down.
    I32 half = {};
    if constexpr (!floor) half = ((1 << shift) >> 1) - 1 + (value >> shift & 1);
    const I32 mantissa = (value + half) >> shift;
    return mantissa < 127 ? mantissa : I32{} + 127;
  }

  static void StoreScales(I32 exponents, double* to) {
    std::int32_t fields[kLanes];
    Store(fields, exponents);
    for (unsigned i = 0; i < kLanes; ++i) {
      const auto exponent = std::int64_t{fields[i]} - 127 - 6;
      to[i] =
          fields[i] == 255 ? __builtin_nan("") : Bits<double>((exponent + 1023) << 52);
    }
  }

  Buffer<float> mantissas_;
  Buffer<double> scales_;
};

template <bool floor>
class Bfp16 {
  static constexpr std::size_t kRowStrip = 16;  // m is a multiple of it

 public:
  // c += a b, for row i of A and kLanes columns of B from j.
  struct Mac {
    static constexpr bool kIsFinite = false;
    Blocks a, b;

    void operator()(std::size_t i, std::size_t j, float* c) const {
      const float* row = a.mantissas + StripOffset<kRowStrip>(i);
      const float* columns = b.mantissas + StripOffset<kStrip>(j);
      F32 sum = {};  // of mantissas: an exact integer
#pragma GCC unroll 8
      for (unsigned k = 0; k < 8; ++k) {
        sum += Splat<F32>(row[k * kRowStrip]) * Load<F32>(columns + k * kStrip);
      }
      // c = flush(f32(c + sum scale_i scale_j)), in two halves of doubles.
      const F32 acc = Load<F32>(c);
      const double* scales = b.scales + j;
      const F64 scale = Splat<F64>(a.scales[i]);
      const F64 low = HalfToF64<0>(sum) * (scale * Load<F64>(scales));
      const F64 high = HalfToF64<1>(sum) * (scale * Load<F64>(scales + kLanes / 2));
      Store(c, Flushed(ToF32(HalfToF64<0>(acc) + low, HalfToF64<1>(acc) + high)));
    }
  };

  Mac Decode(const Panel& panel) {
    // A [m][8] to (8, m) in strips, so that rows are decoded as B's columns are.
    std::uint16_t* columns = columns_.AtLeast(8 * panel.m);
    for (std::size_t i = 0; i < panel.m; i += 8) {
      Transpose(panel.a + i * 8, columns + StripOffset<kRowStrip>(i), kRowStrip);
    }
    return {a_.Decode(columns, panel.m), b_.Decode(panel.b, panel.n)};
  }

 private:
  Buffer<std::uint16_t> columns_;  // A, transposed
  BlockDecoder<floor, kRowStrip> a_;
  BlockDecoder<floor, kStrip> b_;
};

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
