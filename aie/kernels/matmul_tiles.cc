// matmul_tiles_bf16_f32: C = A B or C += A B on tiles of one core, with A and B stored
// in image tiles, each of them as it is or transposed.
//
// A stored matrix X (rows, cols) lies in tiles of 16x16, and a tile in blocks of 8x8:
// [rows/16][cols/16][2][2][8][8]. One image serves as either operand in either order;
// only this kernel knows which. The tiles of A (m, k) come as [k/16][m/16], those of B
// (k, n) as [k/16][n/16]. A tile of A holds (m, k), or (k, m) if A is transposed; a
// tile of B holds (k, n), or (n, k). C is that of matmul.cc, [m/r][n/t][r][t], and so
// is the order of the sums: blocks of 8 k, ascending. All begin on 32 bytes.
//
// DIM_M, DIM_K and DIM_N are the sizes of a call. Without them, only the template is
// compiled. With MMUL_8X8X8, the matrix instruction has that shape instead of AIE2's
// own 4x8x4.
#include <aie_api/aie.hpp>

// Arrays of blocks stay in registers only if all loops over them are unrolled.
#if defined(__clang__)
#define KERNEL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define KERNEL_UNROLL
#endif
#define KERNEL_INLINE [[gnu::always_inline]] inline

// AIE2's accumulators hold 16x16 of C, for which matrix instructions share the loads of
// their operands: two 8x8 blocks of A and two of B, which are so many operands each.
template <typename Mmul>
constexpr unsigned kOperands = 16 / Mmul::M;

// Where the 8x8 block of some lines, which are A's rows or B's columns, and some k
// begins. `line` and `step` count the blocks in both directions, and there are `lines`
// lines. k are a tile's rows if it is `k_major`, else its columns.
template <bool k_major>
KERNEL_INLINE unsigned BlockOffset(unsigned line, unsigned step, unsigned lines) {
  const unsigned tile = step / 2 * (lines / 16) + line / 2;
  const unsigned row = k_major ? step : line, col = k_major ? line : step;
  return tile * 256 + row % 2 * 128 + col % 2 * 64;
}

// The operands (r, 8) of 16 rows of A, from blocks of (m, k), or (k, m) if transposed.
template <typename Mmul, bool transposed>
KERNEL_INLINE void LoadRows(
    const bfloat16* __restrict a, unsigned row, unsigned step, unsigned m,
    aie::vector<bfloat16, Mmul::size_A> (&lhs)[kOperands<Mmul>]) {
  KERNEL_UNROLL
  for (unsigned i = 0; i < 2; ++i) {
    aie::vector<bfloat16, 64> block =
        aie::load_v<64>(a + BlockOffset<transposed>(row + i, step, m));
    if constexpr (transposed) block = aie::transpose(block, 8, 8);
    if constexpr (Mmul::M == 8) {
      lhs[i] = block;
    } else {
      lhs[2 * i] = block.template extract<32>(0);
      lhs[2 * i + 1] = block.template extract<32>(1);
    }
  }
}

// The operands (8, t) of 16 columns of B, from blocks of (k, n), or (n, k) if
// transposed.
template <typename Mmul, bool transposed>
KERNEL_INLINE void LoadColumns(
    const bfloat16* __restrict b, unsigned col, unsigned step, unsigned n,
    aie::vector<bfloat16, Mmul::size_B> (&rhs)[kOperands<Mmul>]) {
  KERNEL_UNROLL
  for (unsigned i = 0; i < 2; ++i) {
    const aie::vector<bfloat16, 64> block =
        aie::load_v<64>(b + BlockOffset<!transposed>(col + i, step, n));
    if constexpr (Mmul::N == 8) {
      rhs[i] = transposed ? aie::transpose(block, 8, 8) : block;
    } else if constexpr (transposed) {
      rhs[2 * i] = aie::transpose(block.template extract<32>(0), 4, 8);
      rhs[2 * i + 1] = aie::transpose(block.template extract<32>(1), 4, 8);
    } else {
      rhs[2 * i] = aie::filter_even(block, 4);
      rhs[2 * i + 1] = aie::filter_odd(block, 4);
    }
  }
}

// C += A B for m rows, or C = A B if `is_first`, with m, k and n multiples of 16.
// `Mmul` is an aie::mmul.
template <typename Mmul, bool a_transposed, bool b_transposed>
inline void MatmulTiles(const bfloat16* __restrict a, const bfloat16* __restrict b,
                        float* __restrict c, unsigned m, unsigned k, unsigned n,
                        bool is_first) {
  constexpr unsigned unroll = kOperands<Mmul>;
  const unsigned cols = n / Mmul::N;  // of C, in its blocks

  for (unsigned row = 0; row < m / 8; row += 2) {
    for (unsigned col = 0; col < n / 8; col += 2) {
      float* __restrict c_block = c + row * 8 * n + col * 8 * Mmul::M;

      Mmul sums[unroll][unroll];
      KERNEL_UNROLL
      for (unsigned i = 0; i < unroll; ++i) {
        KERNEL_UNROLL
        for (unsigned j = 0; j < unroll; ++j) {
          const float* block = c_block + (i * cols + j) * Mmul::size_C;
          sums[i][j] = Mmul(is_first ? aie::zeros<float, Mmul::size_C>()
                                     : aie::load_v<Mmul::size_C>(block));
        }
      }

      for (unsigned step = 0; step < k / 8; ++step) {
        aie::vector<bfloat16, Mmul::size_A> lhs[unroll];
        aie::vector<bfloat16, Mmul::size_B> rhs[unroll];
        LoadRows<Mmul, a_transposed>(a, row, step, m, lhs);
        LoadColumns<Mmul, b_transposed>(b, col, step, n, rhs);
        KERNEL_UNROLL
        for (unsigned i = 0; i < unroll; ++i) {
          KERNEL_UNROLL
          for (unsigned j = 0; j < unroll; ++j) sums[i][j].mac(lhs[i], rhs[j]);
        }
      }

      KERNEL_UNROLL
      for (unsigned i = 0; i < unroll; ++i) {
        KERNEL_UNROLL
        for (unsigned j = 0; j < unroll; ++j) {
          aie::store_v(c_block + (i * cols + j) * Mmul::size_C,
                       sums[i][j].template to_vector<float>());
        }
      }
    }
  }
}

#if defined(DIM_M) && defined(DIM_K) && defined(DIM_N)
static_assert(DIM_M % 16 == 0 && DIM_K % 16 == 0 && DIM_N % 16 == 0,
              "m, k and n must be multiples of 16");

// Bit 0 of `flags`: A is transposed; bit 1: B is; bit 2: the products begin C.
extern "C" void matmul_tiles_bf16_f32(const bfloat16* a, const bfloat16* b, float* c,
                                      int32_t flags) {
#ifdef MMUL_8X8X8
  using Mmul = aie::mmul<8, 8, 8, bfloat16, bfloat16, accauto>;
#else
  using Mmul = aie::mmul<4, 8, 4, bfloat16, bfloat16, accauto>;
#endif
  ::aie::set_rounding(aie::rounding_mode::conv_even);
  // One instance for each order: a core's 16 KB have no room for eight.
  const bool is_first = flags & 4;
  switch (flags & 3) {
    case 0:
      return MatmulTiles<Mmul, false, false>(a, b, c, DIM_M, DIM_K, DIM_N, is_first);
    case 1:
      return MatmulTiles<Mmul, true, false>(a, b, c, DIM_M, DIM_K, DIM_N, is_first);
    case 2:
      return MatmulTiles<Mmul, false, true>(a, b, c, DIM_M, DIM_K, DIM_N, is_first);
    case 3:
      return MatmulTiles<Mmul, true, true>(a, b, c, DIM_M, DIM_K, DIM_N, is_first);
  }
}
#endif
