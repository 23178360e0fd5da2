// matmul_bf16_f32, matmul_bf16_bf16: C += A B on one tile in a core's memory.
//
// One source serves the core's compiler and the host's. Sizes are arguments of an
// inline template. The symbols below pass DIM_M, DIM_K and DIM_N, which become
// constants by inlining. The host instantiates the template once for all sizes, as the
// reference for its own form for whole tiles. Without those macros, only the template
// is compiled. With B_COL_MAJ, B is column-major. With MMUL_8X8X8, the matrix
// instruction has that shape instead of AIE2's own 4x8x4.
//
// With r, s, t the shape of a matrix instruction, the layouts are A [m/r][k/s][r][s],
// B [k/s][n/t][s][t] or column-major [n/t][k/s][t][s], and C [m/r][n/t][r][t]. All
// begin on 32 bytes.
#include <aie_api/aie.hpp>

// The arrays of blocks below stay in registers only if all loops over them are
// unrolled.
#if defined(__clang__)
#define KERNEL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define KERNEL_UNROLL
#endif

// `unroll` x `unroll` matrix instructions share the loads of their operands. AIE2's
// accumulators hold 4 x 4 blocks of 4x4, or 2 x 2 of 8x8. m must be a multiple of
// unroll * r, n of unroll * t, and k of s. `Accum` is the accumulator's tag in aie_api.
template <unsigned r, unsigned s, unsigned t, unsigned unroll, bool b_col_major,
          typename Out, typename Accum = accauto>
inline void Matmul(const bfloat16* __restrict a, const bfloat16* __restrict b,
                   Out* __restrict c, unsigned m, unsigned k, unsigned n) {
  using Mmul = aie::mmul<r, s, t, bfloat16, bfloat16, Accum>;
  const unsigned rows = m / r, steps = k / s, cols = n / t;  // in blocks

  for (unsigned row = 0; row < rows; row += unroll) {
    for (unsigned col = 0; col < cols; col += unroll) {
      // The first blocks: A (row, 0), B (0, col), C (row, col).
      const bfloat16* __restrict a_block = a + row * steps * Mmul::size_A;
      const bfloat16* __restrict b_block =
          b + (b_col_major ? col * steps : col) * Mmul::size_B;
      Out* __restrict c_block = c + (row * cols + col) * Mmul::size_C;

      Mmul sums[unroll][unroll];  // C's blocks (row + i, col + j)
      KERNEL_UNROLL
      for (unsigned i = 0; i < unroll; ++i) {
        KERNEL_UNROLL
        for (unsigned j = 0; j < unroll; ++j) {
          sums[i][j] =
              Mmul(aie::load_v<Mmul::size_C>(c_block + (i * cols + j) * Mmul::size_C));
        }
      }

      for (unsigned step = 0; step < steps; ++step) {
        aie::vector<bfloat16, Mmul::size_A> lhs[unroll];  // A's blocks (row + i, step)
        aie::vector<bfloat16, Mmul::size_B> rhs[unroll];  // B's blocks (step, col + i)
        KERNEL_UNROLL
        for (unsigned i = 0; i < unroll; ++i) {
          lhs[i] = aie::load_v<Mmul::size_A>(a_block + i * steps * Mmul::size_A);
          if constexpr (b_col_major) {
            // (t, s) to (s, t)
            rhs[i] = aie::transpose(
                aie::load_v<Mmul::size_B>(b_block + i * steps * Mmul::size_B), t, s);
          } else {
            rhs[i] = aie::load_v<Mmul::size_B>(b_block + i * Mmul::size_B);
          }
        }
        a_block += Mmul::size_A;
        b_block += (b_col_major ? 1 : cols) * Mmul::size_B;
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
                       sums[i][j].template to_vector<Out>());
        }
      }
    }
  }
}

#if defined(DIM_M) && defined(DIM_K) && defined(DIM_N)
namespace {

#ifdef MMUL_8X8X8
constexpr unsigned kR = 8, kS = 8, kT = 8, kUnroll = 2;
#else
constexpr unsigned kR = 4, kS = 8, kT = 4, kUnroll = 4;
#endif
#ifdef B_COL_MAJ
constexpr bool kBColMajor = true;
#else
constexpr bool kBColMajor = false;
#endif
static_assert(DIM_M % (kUnroll * kR) == 0 && DIM_K % kS == 0 &&
                  DIM_N % (kUnroll * kT) == 0,
              "m and n must be multiples of 16, k of 8");

}  // namespace

extern "C" {

void matmul_bf16_f32(const bfloat16* a, const bfloat16* b, float* c) {
  ::aie::set_rounding(aie::rounding_mode::conv_even);
  Matmul<kR, kS, kT, kUnroll, kBColMajor>(a, b, c, DIM_M, DIM_K, DIM_N);
}

void matmul_bf16_bf16(const bfloat16* a, const bfloat16* b, bfloat16* c) {
  ::aie::set_rounding(aie::rounding_mode::conv_even);
  Matmul<kR, kS, kT, kUnroll, kBColMajor>(a, b, c, DIM_M, DIM_K, DIM_N);
}

}  // extern "C"
#endif
