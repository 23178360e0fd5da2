// The CPU's own matrix product: multiplications and additions in f32, or AVX512-BF16's
// dot products of pairs.
//
// All k are decoded first. Then a block of C is held in registers while all k pass.
#pragma once

#include "layout.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

#if defined(__AVX512BF16__)
using FastElement = std::int32_t;       // two consecutive k
constexpr std::size_t kFastLength = 4;  // elements for 8 k

// [m][8] stay as they are: pairs (k, k + 1) lie side by side.
inline void DecodeRows(const std::uint16_t* bits, std::size_t m, FastElement* to) {
  std::memcpy(to, bits, m * 8 * sizeof *bits);
}

// (8, n) in strips of rows k to strips of pairs: low half k, high half k + 1.
inline void DecodeColumns(const std::uint16_t* bits, std::size_t n, FastElement* to) {
  for (std::size_t i = 0; i < 8 * n; i += 2 * kStrip) {
    for (std::size_t j = 0; j < kStrip; j += kLanes, to += kLanes) {
      const I32 second = Convert<I32>(Load<U16>(bits + i + kStrip + j));
      Store(to, Convert<I32>(Load<U16>(bits + i + j)) | second << 16);
    }
  }
}

// sum + x_k y_k + x_{k+1} y_{k+1}
inline F32 Dot(FastElement x, I32 y, F32 sum) {
  return _mm512_dpbf16_ps(sum, (__m512bh)Splat<I32>(x), (__m512bh)y);
}
#else
using FastElement = float;
constexpr std::size_t kFastLength = 8;  // elements for 8 k

inline void DecodeColumns(const std::uint16_t* bits, std::size_t n, FastElement* to) {
  for (std::size_t i = 0; i < 8 * n; i += kLanes) Store(to + i, ToF32(bits + i));
}

inline void DecodeRows(const std::uint16_t* bits, std::size_t m, FastElement* to) {
  DecodeColumns(bits, m, to);
}

inline F32 Dot(FastElement x, F32 y, F32 sum) { return sum + Splat<F32>(x) * y; }
#endif

// The block of C that is held in registers: 16 of AVX-512's 32, 8 of the others' 16.
constexpr std::size_t kFastRows = kLanes == 16 ? 8 : 4, kFastColumns = kStrip;

// The decoded operands of all k, in steps of 8 k.
struct FastOperands {
  std::size_t m, n, steps;
  FastElement* a;  // [steps][m][kFastLength]
  FastElement* b;  // [steps][n / kStrip][kFastLength][kStrip]
  Kind* a_kinds;   // [steps][m / kFastRows]
  Kind* b_kinds;   // [steps][n / kFastColumns]

  void Decode(const Panel& panel, std::size_t step) const {
    DecodeRows(panel.a, m, a + step * m * kFastLength);
    DecodeColumns(panel.b, n, b + step * n * kFastLength);
    for (std::size_t i = 0; i < m; i += kFastRows) {
      a_kinds[(step * m + i) / kFastRows] = KindOfAll(panel.a_kinds + i, kFastRows);
    }
    for (std::size_t j = 0; j < n; j += kFastColumns) {
      b_kinds[(step * n + j) / kFastColumns] = KindOfAll(panel.b_kinds + j / kLanes, 2);
    }
  }

  // c (kFastRows, kFastColumns) += a b, from row i and column j; c's rows lie n apart.
  void Multiply(std::size_t i, std::size_t j, float* c) const {
    F32 sums[kFastRows][2];  // two vectors of kLanes columns
#pragma GCC unroll 8
    for (std::size_t row = 0; row < kFastRows; ++row) {
      sums[row][0] = Load<F32>(c + row * n);
      sums[row][1] = Load<F32>(c + row * n + kLanes);
    }
    for (std::size_t step = 0; step < steps; ++step) {
      const Kind a_kind = a_kinds[(step * m + i) / kFastRows];
      const Kind b_kind = b_kinds[(step * n + j) / kFastColumns];
      if ((a_kind | b_kind) == kZero) continue;
      const FastElement* x = a + (step * m + i) * kFastLength;
      const FastElement* y = b + (step * n + j) * kFastLength;
#pragma GCC unroll 8
      for (std::size_t k = 0; k < kFastLength; ++k, y += kStrip) {
        const auto first = Load<Vec<FastElement, kLanes>>(y);
        const auto second = Load<Vec<FastElement, kLanes>>(y + kLanes);
#pragma GCC unroll 8
        for (std::size_t row = 0; row < kFastRows; ++row) {
          const FastElement element = x[row * kFastLength + k];
          sums[row][0] = Dot(element, first, sums[row][0]);
          sums[row][1] = Dot(element, second, sums[row][1]);
        }
      }
    }
#pragma GCC unroll 8
    for (std::size_t row = 0; row < kFastRows; ++row) {
      Store(c + row * n, sums[row][0]);
      Store(c + row * n + kLanes, sums[row][1]);
    }
  }
};

// The memory of the decoded operands, kept from call to call.
class Fast {
 public:
  FastOperands Operands(std::size_t m, std::size_t n, std::size_t steps) {
    return {m,
            n,
            steps,
            a_.AtLeast(steps * m * kFastLength),
            b_.AtLeast(steps * n * kFastLength),
            a_kinds_.AtLeast(steps * m / kFastRows),
            b_kinds_.AtLeast(steps * n / kFastColumns)};
  }

 private:
  Buffer<FastElement> a_, b_;
  Buffer<Kind> a_kinds_, b_kinds_;
};

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
