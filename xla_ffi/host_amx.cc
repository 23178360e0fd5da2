// Intel's tile instructions, of Sapphire Rapids and later. A tile register holds 16
// rows of 64 bytes: of lhs a row and 16 pairs, of rhs a pair and 16 columns.

#include <immintrin.h>

#include "host_kernels.h"

namespace jax_npu {
namespace {

#include "host_pack.inc"
#include "host_pack_pairs.inc"
#include "host_tile.inc"
// and what takes its vectors
#include "host_skinny.inc"

// Four tiles of sums are computed at a time, two and two of them.
constexpr int kMaxLhsPanels = 2, kMaxRhsPanels = 8;
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

// Stores past the caches are seen by other threads after this.
void Leave() {
  _mm_sfence();
  _tile_release();
}

// Sums are tiles 0 to 3, lhs 4 and 5, rhs 6 and 7; their numbers must be constants.
template <int num_lhs, int num_rhs>
void ClearSums() {
  _tile_zero(0);
  if constexpr (num_rhs > 1) _tile_zero(1);
  if constexpr (num_lhs > 1) _tile_zero(2);
  if constexpr (num_lhs * num_rhs > 2) _tile_zero(3);
}

template <int num_lhs, int num_rhs>
void LoadSums(const float* c, int64_t ldc) {
  const int64_t down = kPanel * ldc, c_bytes = ldc * 4;
  _tile_loadd(0, c, c_bytes);
  if constexpr (num_rhs > 1) _tile_loadd(1, c + kPanel, c_bytes);
  if constexpr (num_lhs > 1) _tile_loadd(2, c + down, c_bytes);
  if constexpr (num_lhs * num_rhs > 2) _tile_loadd(3, c + down + kPanel, c_bytes);
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

template <int num_lhs, int num_rhs>
void AddProducts(const uint32_t* lhs, const uint32_t* rhs, int64_t panel_words,
                 int64_t num_words) {
  for (int64_t word = 0; word < num_words; word += kPanel) {
    _tile_loadd(4, lhs, 64);
    _tile_loadd(6, rhs, 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (num_rhs > 1) {
      _tile_loadd(7, rhs + panel_words, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (num_lhs > 1) {
      _tile_loadd(5, lhs + panel_words, 64);
      _tile_dpbf16ps(2, 5, 6);
    }
    if constexpr (num_lhs * num_rhs > 2) _tile_dpbf16ps(3, 5, 7);
    lhs += kTileWords;
    rhs += kTileWords;
  }
}

// A block of k of two panels of lhs stays in the first-level cache while those of rhs
// pass by, as do the sums of all.
constexpr int kBlockWords = 128;

template <int num_lhs, int num_rhs>
void MultiplyTiles(const TileJob& job, int rhs_panel, int64_t word, float* partial) {
  const int64_t num_words =
      job.num_words - word < kBlockWords ? job.num_words - word : kBlockWords;
  float* c = job.c + rhs_panel * kPanel;
  if (word > 0) {
    LoadSums<num_lhs, num_rhs>(partial, kMaxRhsPanels * kPanel);
  } else if (job.accumulate) {
    LoadSums<num_lhs, num_rhs>(c, job.ldc);
  } else {
    ClearSums<num_lhs, num_rhs>();
  }
  AddProducts<num_lhs, num_rhs>(job.lhs + word * kPanel,
                                job.rhs + rhs_panel * job.panel_words + word * kPanel,
                                job.panel_words, num_words);
  if (word + num_words < job.num_words) {
    StoreSums<num_lhs, num_rhs>(partial, kMaxRhsPanels * kPanel);
  } else if (job.past_caches) {
    StoreSumsPastCaches<num_lhs, num_rhs>(c, job.ldc);
  } else {
    StoreSums<num_lhs, num_rhs>(c, job.ldc);
  }
}

template <int num_lhs>
void MultiplyRow(const TileJob& job) {
  alignas(64) float sums[num_lhs * kPanel * kMaxRhsPanels * kPanel];
  int64_t word = 0;
  do {
    int panel = 0;
    for (; panel + 1 < job.num_rhs_panels; panel += 2) {
      MultiplyTiles<num_lhs, 2>(job, panel, word, sums + panel * kPanel);
    }
    if (panel < job.num_rhs_panels) {
      MultiplyTiles<num_lhs, 1>(job, panel, word, sums + panel * kPanel);
    }
    word += kBlockWords;
  } while (word < job.num_words);
}

void Multiply(const TileJob& job) {
  return job.num_lhs_panels > 1 ? MultiplyRow<2>(job) : MultiplyRow<1>(job);
}

int64_t Spin(int64_t num_iterations) {
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
                                 kMaxLhsPanels,
                                 kMaxRhsPanels,
                                 /*k_per_word=*/2,
                                 /*word_multiple=*/kPanel,
                                 /*max_words=*/512,
                                 &PackStrip<PackByRow>,
                                 &PackStrip<PackByPair>,
                                 &Multiply,
                                 &Enter,
                                 &Leave,
                                 &MultiplySkinny<16>,
                                 &RoundRun,
                                 &Spin};

}  // namespace jax_npu
