// The kernels for AVX512-BF16, whose vdpbf16ps adds the products of 16 pairs of bf16 to
// 16 sums in f32.

#include <immintrin.h>

#include "xla_ffi/host/isa/instruction_set.h"

namespace jax_npu {
namespace {

#include "xla_ffi/host/isa/pack.inc"
#include "xla_ffi/host/isa/pack_pairs.inc"
#include "xla_ffi/host/isa/tile.inc"
// use the vectors of tile.inc
#include "xla_ffi/host/isa/in_registers.inc"
// use the values of in_registers.inc
#include "xla_ffi/host/isa/batches.inc"
#include "xla_ffi/host/isa/rows.inc"

// A register tile has 8 rows by 3 panels: 24 of the 32 registers are sums.
constexpr int kRows = 8, kMaxPanels = 3;

// c (kRows, num_panels * kPanel) = or += lhs rhs, for the rows of a panel of lhs from
// `row` on.
template <int num_panels>
void PairTile(const TileJob& job, int row) {
  const uint32_t *lhs = job.lhs + row, *rhs = job.rhs;
  __m512 acc[kRows][num_panels];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < num_panels; ++v) acc[r][v] = _mm512_setzero_ps();
  }
  for (int64_t word = 0; word < job.num_words; ++word) {
    __m512i b[num_panels];  // one pair along k of each column
#pragma GCC unroll 3
    for (int v = 0; v < num_panels; ++v) {
      b[v] = _mm512_loadu_si512(rhs + v * job.panel_words + word * kPanel);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      // The same pair along k of row r, in every lane.
      const __m512i a = _mm512_set1_epi32(static_cast<int>(lhs[word * kPanel + r]));
#pragma GCC unroll 3
      for (int v = 0; v < num_panels; ++v) {
        acc[r][v] = _mm512_dpbf16_ps(acc[r][v], (__m512bh)a, (__m512bh)b[v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < num_panels; ++v) {
      float* c = job.c + (row + r) * job.ldc + v * kPanel;
      if (job.accumulate) acc[r][v] = _mm512_add_ps(acc[r][v], _mm512_loadu_ps(c));
      if (job.past_caches) {
        _mm512_stream_ps(c, acc[r][v]);
      } else {
        _mm512_storeu_ps(c, acc[r][v]);
      }
    }
  }
}

template <int num_panels = kMaxPanels>
void MultiplyPairs(const TileJob& job) {
  if constexpr (num_panels > 1) {
    if (job.num_rhs_panels < num_panels) return MultiplyPairs<num_panels - 1>(job);
  }
  for (int row = 0; row < kPanel && row < job.num_rows; row += kRows) {
    PairTile<num_panels>(job, row);
  }
}

// Makes stores past the caches visible to other threads.
void Leave() { _mm_sfence(); }

int64_t SpinPairs(int64_t num_iterations) {
  constexpr int kNumSums = kRows * kMaxPanels;
  __m512 acc[kNumSums];
  for (__m512& sum : acc) {
    sum = _mm512_setzero_ps();
    asm volatile("" : "+v"(sum));  // or the compiler would merge all sums
  }
  __m512i a = _mm512_setzero_si512(), b = a;
  for (int64_t i = 0; i < num_iterations; ++i) {
    asm volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 24
    for (int s = 0; s < kNumSums; ++s) {
      acc[s] = _mm512_dpbf16_ps(acc[s], (__m512bh)a, (__m512bh)b);
    }
  }
  for (__m512& sum : acc) asm volatile("" : : "v"(sum));
  return num_iterations * kNumSums * 64;  // 16 lanes, 2 products, each 2 FLOPs
}

}  // namespace

const HostKernels kAvx512Bf16Kernels = {"avx512bf16",
                                        /*num_lanes=*/16,
                                        /*lhs_panels=*/1,
                                        kMaxPanels,
                                        /*k_per_word=*/2,
                                        /*word_multiple=*/1,
                                        /*max_words=*/512,
                                        &PackStrip<PackByPair>,
                                        &PackStrip<PackByPair>,
                                        &MultiplyPairs<>,
                                        /*enter=*/nullptr,
                                        &Leave,
                                        &MultiplyRows<16>,
                                        &MultiplyDots<16>,
                                        &MultiplySmall<16>,
                                        &WidenRun<16>,
                                        &RoundRun,
                                        &SpinPairs};

}  // namespace jax_npu
