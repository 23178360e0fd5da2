// The kernels for AMX, Intel's tile instructions of Sapphire Rapids and later. A tile
// register holds 16 rows of 64 bytes. A tile of lhs is (16 rows, 16 pairs along k), a
// tile of rhs (16 pairs along k, 16 columns), a tile of sums (16 rows, 16 columns) in
// f32.

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

// Four of the eight tile registers hold sums, two lhs and two rhs.
constexpr int kMaxPanels = 2;
constexpr int kTileWords = kPanel * kPanel;

struct alignas(64) TileConfiguration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t num_rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

void Enter() {
  static const TileConfiguration configuration;
  _tile_loadconfig(&configuration);
}

// Makes stores past the caches visible to other threads.
void Leave() {
  _mm_sfence();
  _tile_release();
}

template <int num_lhs, int num_rhs>
void StoreSums(float* c, int64_t ldc) {
  const int64_t down = kPanel * ldc, c_bytes = ldc * 4;
  _tile_stored(0, c, c_bytes);
  if constexpr (num_rhs > 1) _tile_stored(1, c + kPanel, c_bytes);
  if constexpr (num_lhs > 1) _tile_stored(2, c + down, c_bytes);
  if constexpr (num_lhs * num_rhs > 2) _tile_stored(3, c + down + kPanel, c_bytes);
}

template <int num_lhs, int num_rhs>
void StoreSumsPastCaches(float* c, int64_t ldc) {
  constexpr int kColumns = num_rhs * kPanel;
  alignas(64) float sums[num_lhs * kPanel * kColumns];
  StoreSums<num_lhs, num_rhs>(sums, kColumns);
  for (int i = 0; i < num_lhs * kPanel; ++i) {
    for (int j = 0; j < kColumns; j += kPanel) {
      _mm512_stream_ps(c + i * ldc + j, _mm512_load_ps(sums + i * kColumns + j));
    }
  }
}

// c = or += lhs rhs for num_lhs by num_rhs panels. Tiles 0 to 3 are sums, 4 and 5 lhs,
// 6 and 7 rhs:  0 += 4 * 6,  1 += 4 * 7,  2 += 5 * 6,  3 += 5 * 7.  The instructions
// take their numbers as constants.
template <int num_lhs, int num_rhs>
void MultiplyTiles(const TileJob& job) {
  float* c = job.c;
  const int64_t down = kPanel * job.ldc, c_bytes = job.ldc * 4;
  if (job.accumulate) {
    _tile_loadd(0, c, c_bytes);
    if constexpr (num_rhs > 1) _tile_loadd(1, c + kPanel, c_bytes);
    if constexpr (num_lhs > 1) _tile_loadd(2, c + down, c_bytes);
    if constexpr (num_lhs * num_rhs > 2) _tile_loadd(3, c + down + kPanel, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const uint32_t *lhs = job.lhs, *rhs = job.rhs;
  for (int64_t word = 0; word < job.num_words; word += kPanel) {
    _tile_loadd(4, lhs, 64);
    _tile_loadd(6, rhs, 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (num_rhs > 1) {
      _tile_loadd(7, rhs + job.panel_words, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (num_lhs > 1) {
      _tile_loadd(5, lhs + job.panel_words, 64);
      _tile_dpbf16ps(2, 5, 6);
    }
    if constexpr (num_lhs * num_rhs > 2) _tile_dpbf16ps(3, 5, 7);
    lhs += kTileWords;
    rhs += kTileWords;
  }
  if (job.past_caches) {
    StoreSumsPastCaches<num_lhs, num_rhs>(c, job.ldc);
  } else {
    StoreSums<num_lhs, num_rhs>(c, job.ldc);
  }
}

void Multiply(const TileJob& job) {
  if (job.num_lhs_panels > 1) {
    return job.num_rhs_panels > 1 ? MultiplyTiles<2, 2>(job) : MultiplyTiles<2, 1>(job);
  }
  return job.num_rhs_panels > 1 ? MultiplyTiles<1, 2>(job) : MultiplyTiles<1, 1>(job);
}

int64_t Spin(int64_t num_iterations) {
  // 16 x 16 sums, each of 32 products, two FLOPs a product.
  constexpr int64_t kFlopsPerTile = 2 * kPanel * kPanel * 2 * kPanel;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t i = 0; i < num_iterations; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  return num_iterations * 4 * kFlopsPerTile;
}

}  // namespace

const HostKernels kAmxKernels = {"amx",
                                 /*num_lanes=*/16,
                                 kMaxPanels,
                                 kMaxPanels,
                                 /*k_per_word=*/2,
                                 /*word_multiple=*/kPanel,
                                 /*max_words=*/512,
                                 &PackStrip<PackByRow>,
                                 &PackStrip<PackByPair>,
                                 &Multiply,
                                 &Enter,
                                 &Leave,
                                 &MultiplyRows<16>,
                                 &MultiplyDots<16>,
                                 &MultiplySmall<16>,
                                 &WidenRun<16>,
                                 &RoundRun,
                                 &Spin};

}  // namespace jax_npu
