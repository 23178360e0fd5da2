#include <immintrin.h>

#include "host_kernels.h"

namespace jax_npu {
namespace {

#include "host_pack.inc"

constexpr int kLanes = 16;
constexpr int kMr = 8;
constexpr int kNv = 3;
constexpr int kNr = kNv * kLanes;

// c[rows, kNr] += lhs * rhs, two k an instruction.
template <int rows>
void PairTile(int64_t num_pairs, const uint32_t* lhs, const uint32_t* rhs, float* c,
              int64_t ldc) {
  __m512 acc[rows][kNv];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kNv; ++v) acc[r][v] = _mm512_setzero_ps();
  }
  for (int64_t p = 0; p < num_pairs; ++p) {
    __m512i b[kNv];
#pragma GCC unroll 4
    for (int v = 0; v < kNv; ++v) {
      b[v] = _mm512_loadu_si512(rhs + p * kNr + v * kLanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const __m512i a = _mm512_set1_epi32(static_cast<int>(lhs[p * kMr + r]));
#pragma GCC unroll 4
      for (int v = 0; v < kNv; ++v) {
        acc[r][v] = _mm512_dpbf16_ps(acc[r][v], (__m512bh)a, (__m512bh)b[v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kNv; ++v) {
      float* out = c + r * ldc + v * kLanes;
      _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), acc[r][v]));
    }
  }
}

// Picks the tile with just the rows there are.
template <int rows = kMr>
void MultiplyPairs(int num_rows, int64_t num_k, const void* lhs, const void* rhs,
                   float* c, int64_t ldc) {
  if constexpr (rows > 1) {
    if (num_rows < rows) {
      return MultiplyPairs<rows - 1>(num_rows, num_k, lhs, rhs, c, ldc);
    }
  }
  PairTile<rows>((num_k + 1) / 2, static_cast<const uint32_t*>(lhs),
                 static_cast<const uint32_t*>(rhs), c, ldc);
}

}  // namespace

const HostKernels kAvx512Bf16Kernels = {"avx512bf16",
                                        kMr,
                                        kNr,
                                        PackedPairs::kBytes,
                                        &PackStrip<PackedPairs, kMr>,
                                        &PackStrip<PackedPairs, kNr>,
                                        &MultiplyPairs<>,
                                        &RoundRun};

}  // namespace jax_npu
