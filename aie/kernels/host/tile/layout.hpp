// From a tile's blocks to matrices in plain order, and back: A and B in panels of 8 k,
// C as a whole and in f32.
//
// The template argument rt is r and t, the rows and columns of a block of C (4 or 8);
// the blocks of A are (rt, 8) and those of B (8, rt), or (rt, 8) where B is
// column-major. In tiles, all blocks of A and B are (8, 8).
#pragma once

#include "../kernels.h"
#include "vectors.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

// What 8 k of some rows of A, or of some columns of B, hold: finite numbers, zeros
// only, or numbers that are not finite. Kinds are bits, so that those of A and B can be
// or-ed: kZero then means that a mac adds nothing.
enum Kind : std::uint8_t { kDense = 0, kZero = 1, kNotFinite = 2 };

// The kind of `rows` rows of `num_words` words, each of them 4 bf16.
inline Kind KindOf(const std::uint16_t* bits, unsigned rows, std::size_t row_stride,
                   unsigned num_words) {
  constexpr std::uint64_t kEach = 0x0001000100010001;  // times a bf16: four copies
  std::uint64_t any = 0, carries = 0;
  for (unsigned row = 0; row < rows; ++row) {
    for (unsigned i = 0; i < num_words; ++i) {
      const auto word = Load<std::uint64_t>(bits + row * row_stride + 4 * i);
      any |= word;
      // An exponent field of 255 carries into the sign.
      carries |= (word & kEach * 0x7F80) + kEach * 0x80;
    }
  }
  if (carries & kEach * 0x8000) return kNotFinite;
  return any & kEach * 0x7FFF ? kDense : kZero;
}

// [8][8] to its transpose, whose rows lie `stride` elements apart. Each of the three
// rounds interleaves row i with row i + 4.
inline void Transpose(const std::uint16_t* from, std::uint16_t* to,
                      std::size_t stride) {
  using Row = Vec<std::uint16_t, 8>;
  Row rows[8];
  for (unsigned i = 0; i < 8; ++i) rows[i] = Load<Row>(from + 8 * i);
  for (unsigned round = 0; round < 3; ++round) {
    Row next[8];
    for (unsigned i = 0; i < 4; ++i) {
      next[2 * i] =
          __builtin_shufflevector(rows[i], rows[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
      next[2 * i + 1] =
          __builtin_shufflevector(rows[i], rows[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
    }
    std::memcpy(rows, next, sizeof rows);
  }
  for (unsigned i = 0; i < 8; ++i) Store(to + i * stride, rows[i]);
}

// A matrix (8, columns) "in strips" lies as [columns / strip][8][strip]. Returns the
// offset of its element (0, column).
template <std::size_t strip>
inline std::size_t StripOffset(std::size_t column) {
  return column / strip * 8 * strip + column % strip;
}

constexpr std::size_t kStrip = 2 * kLanes;  // B's strips: two vectors

inline std::size_t Padded(std::size_t n) { return (n + kStrip - 1) / kStrip * kStrip; }

// The kind of several together: kZero if all are, and kNotFinite if one is.
inline Kind KindOfAll(const Kind* kinds, std::size_t size) {
  unsigned any = 0, all = kZero;
  for (std::size_t i = 0; i < size; ++i) {
    any |= kinds[i];
    all &= kinds[i];
  }
  return static_cast<Kind>(all | (any & kNotFinite));
}

// 8 k of A and B, as bits of bf16.
struct Panel {
  std::size_t m, n;        // n is padded by columns of zeros
  const std::uint16_t* a;  // [m][8]
  const std::uint16_t* b;  // (8, n), in strips
  const Kind* a_kinds;     // [m]
  const Kind* b_kinds;     // [n / kLanes]
};

// Gathers panels from blocks; its memory is kept from call to call.
class Gatherer {
 public:
  // The panel of k in [8 step, 8 step + 8).
  template <unsigned rt>
  Panel Gather(const AieMatmul& call, const std::uint16_t* a, const std::uint16_t* b,
               std::size_t step) {
    const std::size_t m = call.m, n = call.n, padded = Padded(n), steps = call.k / 8;
    std::uint16_t* rows = a_.AtLeast(m * 8);
    std::uint16_t* columns = b_.AtLeast(8 * padded);
    if (n != padded) {
      const std::size_t last = 8 * (padded - kStrip);
      std::memset(columns + last, 0, 8 * kStrip * sizeof *columns);
    }
    if (call.in_tiles) {
      RowsOfTiles(a, m, step, call.a_transposed, rows);
      ColumnsOfTiles(b, n, step, call.b_transposed, columns);
    } else {
      GatherRows<rt>(a, m, steps, step, rows);
      if (call.b_col_major) {
        GatherTransposed<rt>(b, n, steps, step, columns);
      } else {
        GatherColumns<rt>(b, n, step, columns);
      }
    }

    Kind* a_kinds = a_kinds_.AtLeast(m);
    for (std::size_t i = 0; i < m; ++i) a_kinds[i] = KindOf(rows + i * 8, 1, 8, 2);
    Kind* b_kinds = b_kinds_.AtLeast(padded / kLanes);
    for (std::size_t j = 0; j < padded; j += kLanes) {
      b_kinds[j / kLanes] =
          KindOf(columns + StripOffset<kStrip>(j), 8, kStrip, kLanes / 4);
    }
    return {m, padded, rows, columns, a_kinds, b_kinds};
  }

 private:
  // A [m/rt][steps][rt][8] to [m][8].
  template <unsigned rt>
  static void GatherRows(const std::uint16_t* blocks, std::size_t m, std::size_t steps,
                         std::size_t step, std::uint16_t* rows) {
    for (std::size_t i = 0; i < m; i += rt) {
      std::memcpy(rows + i * 8, blocks + (i * steps + step * rt) * 8, rt * 16);
    }
  }

  // B [steps][n/rt][8][rt] to (8, n) in strips.
  template <unsigned rt>
  static void GatherColumns(const std::uint16_t* blocks, std::size_t n,
                            std::size_t step, std::uint16_t* columns) {
    const std::uint16_t* block = blocks + step * n * 8;
    for (std::size_t j = 0; j < n; j += rt, block += 8 * rt) {
      for (unsigned k = 0; k < 8; ++k) {
        std::memcpy(columns + StripOffset<kStrip>(j) + k * kStrip, block + k * rt,
                    rt * 2);
      }
    }
  }

  // B [n/rt][steps][rt][8], column-major, to (8, n) in strips, by 8 columns at a time.
  template <unsigned rt>
  static void GatherTransposed(const std::uint16_t* blocks, std::size_t n,
                               std::size_t steps, std::size_t step,
                               std::uint16_t* columns) {
    for (std::size_t j = 0; j < n; j += 8) {
      std::uint16_t rows[64];
      for (std::size_t part = 0; part < 8; part += rt) {
        std::memcpy(rows + part * 8, blocks + ((j + part) * steps + step * rt) * 8,
                    rt * 16);
      }
      Transpose(rows, columns + StripOffset<kStrip>(j), kStrip);
    }
  }

  // Calls visit(line, block) for each 8 lines, which are A's rows or B's columns, with
  // their block of k in [8 step, 8 step + 8). Tiles are [k/16][lines/16][2][2][8][8];
  // k are a tile's rows if `k_major`, else its columns.
  template <typename Visit>
  static void ForBlocks(const std::uint16_t* tiles, std::size_t lines, std::size_t step,
                        bool k_major, Visit visit) {
    const std::size_t k_stride = k_major ? 128 : 64, line_stride = k_major ? 64 : 128;
    const std::uint16_t* block = tiles + step / 2 * lines * 16 + step % 2 * k_stride;
    for (std::size_t line = 0; line < lines; line += 16, block += 256) {
      for (unsigned i = 0; i < 2; ++i) visit(line + 8 * i, block + i * line_stride);
    }
  }

  // A in tiles to [m][8].
  static void RowsOfTiles(const std::uint16_t* tiles, std::size_t m, std::size_t step,
                          bool transposed, std::uint16_t* rows) {
    ForBlocks(tiles, m, step, transposed, [=](std::size_t i, const auto* block) {
      if (transposed) {
        Transpose(block, rows + i * 8, 8);
      } else {
        std::memcpy(rows + i * 8, block, 128);
      }
    });
  }

  // B in tiles to (8, n) in strips.
  static void ColumnsOfTiles(const std::uint16_t* tiles, std::size_t n,
                             std::size_t step, bool transposed,
                             std::uint16_t* columns) {
    ForBlocks(tiles, n, step, !transposed, [=](std::size_t j, const auto* block) {
      std::uint16_t* to = columns + StripOffset<kStrip>(j);
      if (transposed) {
        Transpose(block, to, kStrip);
      } else {
        for (unsigned k = 0; k < 8; ++k)
          std::memcpy(to + k * kStrip, block + k * 8, 16);
      }
    });
  }

  Buffer<std::uint16_t> a_, b_;
  Buffer<Kind> a_kinds_, b_kinds_;
};

// Calls move(in_blocks, in_order) for each run of rt columns: its offsets in C's blocks
// [m/rt][n/rt][rt][rt], and in plain order [m][padded n].
template <unsigned rt, typename Move>
inline void ForRuns(std::size_t m, std::size_t n, Move move) {
  const std::size_t padded = Padded(n);
  for (std::size_t i = 0; i < m; ++i) {
    const std::size_t first = i / rt * n * rt + i % rt * rt;
    for (std::size_t j = 0; j < n; j += rt) move(first + j * rt, i * padded + j);
  }
}

// C to plain order, [m][padded n], as f32; zeros where C = A B.
template <unsigned rt>
inline void LoadC(const AieMatmul& call, const void* c, float* sums) {
  if (call.is_first) {
    std::memset(sums, 0, call.m * Padded(call.n) * sizeof(float));
  } else if (call.bf16_out) {
    const auto* bits = static_cast<const std::uint16_t*>(c);
    ForRuns<rt>(call.m, call.n, [=](std::size_t from, std::size_t to) {
      std::uint32_t words[rt];
      for (unsigned j = 0; j < rt; ++j) words[j] = std::uint32_t{bits[from + j]} << 16;
      std::memcpy(sums + to, words, sizeof words);
    });
  } else {
    const auto* values = static_cast<const float*>(c);
    ForRuns<rt>(call.m, call.n, [=](std::size_t from, std::size_t to) {
      std::memcpy(sums + to, values + from, rt * sizeof(float));
    });
  }
}

// The reverse of LoadC; rounds to nearest even where C is bf16. All NaNs become one.
// `sums` is lost.
template <unsigned rt>
inline void StoreC(const AieMatmul& call, float* sums, void* c) {
  const std::size_t size = call.m * Padded(call.n);
  // Written in place: bf16 i lies before f32 i, which was read by then.
  auto* rounded = reinterpret_cast<std::uint16_t*>(sums);
  for (std::size_t i = 0; i < size; i += kLanes) {
    const F32 sum = Load<F32>(sums + i);
    const I32 word = sum == sum ? Bits<I32>(sum) : I32{} + std::int32_t(kNan);
    if (call.bf16_out) {
      Store(rounded + i, Convert<U16>((word + 0x7FFF + (word >> 16 & 1)) >> 16));
    } else {
      Store(sums + i, word);
    }
  }
  if (call.bf16_out) {
    ForRuns<rt>(call.m, call.n, [=](std::size_t to, std::size_t from) {
      std::memcpy(static_cast<std::uint16_t*>(c) + to, rounded + from, rt * 2);
    });
  } else {
    ForRuns<rt>(call.m, call.n, [=](std::size_t to, std::size_t from) {
      std::memcpy(static_cast<float*>(c) + to, sums + from, rt * sizeof(float));
    });
  }
}

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
