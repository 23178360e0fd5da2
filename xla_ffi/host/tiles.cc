// The product by tiles. All threads pack the smaller operand and share it; then each
// thread packs pieces of the larger operand and multiplies each piece with the whole
// shared one. So every element is rounded and packed once.

#include "xla_ffi/host/tiles.h"

#include <algorithm>

#include "xla_ffi/base/counters.h"
#include "xla_ffi/host/scratch.h"

namespace jax_npu {
namespace {

// The rows of the shared operand at a time: it bounds memory, and they stay in the
// outer cache.
constexpr int64_t kMaxSharedRows = 3072;
// The larger the pieces, the less often the shared operand is read again. But a piece
// of rhs must stay in the second-level cache while lhs passes by, and each thread must
// get several pieces, so that all threads end at about the same time.
constexpr int64_t kMaxLhsPanels = 16, kMaxRhsPanels = 24;
constexpr int64_t kPiecesPerThread = 3;
// The least size of a result that is stored past the caches: from here on they hold
// little of it when it is read.
constexpr int64_t kMinPastCachesBytes = 4 << 20;
constexpr int kMaxTileRows = 2 * kPanel, kMaxTileColumns = 3 * kPanel;

int64_t RoundDown(int64_t value, int64_t factor) { return value / factor * factor; }

// Packed rows: panels of (num_words, kPanel).
struct Packed {
  const uint32_t* panels;
  Rows rows;
};

// One pass over the result: one chunk of k of one pair of parts,
//   target (m, n) = or += lhs (m, chunk) rhs (n, chunk)ᵀ.
class Pass {
 public:
  Pass(const HostKernels& kernels, const Side& lhs, const Side& rhs, const Chunk& chunk,
       bool accumulate, bool is_only, const Target& target,
       const ParallelLoop& parallel)
      : kernels_(kernels),
        chunk_(chunk),
        accumulate_(accumulate),
        target_(target),
        // A product over the first dimension of both operands, tokens, is the gradient
        // of a weight, which the optimizer reads much later.
        past_caches_(is_only && lhs.LiesAcross() && rhs.LiesAcross() &&
                     lhs.num_rows() * rhs.num_rows() * 4 >= kMinPastCachesBytes),
        shares_lhs_(lhs.num_rows() <= rhs.num_rows()),
        shared_(shares_lhs_ ? lhs : rhs),
        streamed_(shares_lhs_ ? rhs : lhs),
        parallel_(parallel),
        piece_rows_(kPanel * PanelsPerPiece()) {}

  void Run() const {
    static thread_local Scratch scratch;
    const int64_t num_rows = shared_.num_rows();
    for (int64_t first = 0; first < num_rows; first += kMaxSharedRows) {
      const Rows rows = {first, std::min(kMaxSharedRows, num_rows - first)};
      if (const uint32_t* panels = shared_.FindPacked(rows, chunk_)) {
        Stream({panels, rows}, nullptr);
      } else {
        auto* to = scratch.Reserve<uint32_t>(PackedWords(rows, chunk_));
        PackItems items(shared_, rows, chunk_, to, parallel_.num_threads);
        Stream({to, rows}, &items);
      }
    }
  }

 private:
  // A whole number of tiles.
  int64_t PanelsPerPiece() const {
    const int64_t tile = shares_lhs_ ? kernels_.rhs_panels : kernels_.lhs_panels;
    const int64_t most = shares_lhs_ ? kMaxRhsPanels : kMaxLhsPanels;
    const int64_t panels = DivideUp(streamed_.num_rows(), kPanel);
    const int64_t share = panels / (kPiecesPerThread * parallel_.num_threads);
    return std::max(RoundDown(std::min(share, most), tile), tile);
  }

  // One loop packs and multiplies, because waking a thread takes as long as a small
  // product. Items are taken in order, so once a thread multiplies, every packing item
  // has been taken by a running thread.
  void Stream(const Packed& shared, PackItems* pack) const {
    const int64_t num_to_pack = pack ? pack->size() : 0;
    const int64_t num_pieces = DivideUp(streamed_.num_rows(), piece_rows_);
    parallel_(num_to_pack + num_pieces, [&](int64_t index) {
      if (index < num_to_pack) return pack->Pack(index);
      if (pack) pack->Wait();
      if (kernels_.enter) kernels_.enter();
      MultiplyPiece(shared, Piece(index - num_to_pack));
      if (kernels_.leave) kernels_.leave();
    });
  }

  void MultiplyPiece(const Packed& shared, const Rows& rows) const {
    static thread_local Scratch scratch;
    const uint32_t* panels = streamed_.FindPacked(rows, chunk_);
    if (panels == nullptr) {
      auto* to = scratch.Reserve<uint32_t>(PackedWords(rows, chunk_));
      streamed_.Pack(rows, chunk_, to);
      panels = to;
    }
    const Packed streamed = {panels, rows};
    Multiply(shares_lhs_ ? shared : streamed, shares_lhs_ ? streamed : shared);
  }

  Rows Piece(int64_t index) const {
    const int64_t first = index * piece_rows_;
    return {first, std::min(piece_rows_, streamed_.num_rows() - first)};
  }

  void Multiply(const Packed& lhs, const Packed& rhs) const {
    const Stopwatch stopwatch(TheCounters().multiply_ns);
    const int64_t tile_rows = kernels_.lhs_panels * kPanel;
    const int64_t tile_columns = kernels_.rhs_panels * kPanel;
    const int64_t block_columns =
        kPanel * RoundDown(kMaxRhsPanels, kernels_.rhs_panels);
    for (int64_t first = 0; first < rhs.rows.size; first += block_columns) {
      const int64_t end = std::min(first + block_columns, rhs.rows.size);
      for (int64_t m = 0; m < lhs.rows.size; m += tile_rows) {
        for (int64_t n = first; n < end; n += tile_columns) {
          MultiplyTile(lhs, m, rhs, n,
                       {lhs.rows.first + m, std::min(tile_rows, lhs.rows.size - m),
                        rhs.rows.first + n, std::min(tile_columns, rhs.rows.size - n)});
        }
      }
    }
  }

  void MultiplyTile(const Packed& lhs, int64_t m, const Packed& rhs, int64_t n,
                    const Area& area) const {
    const int lhs_panels = DivideUp(area.num_rows, kPanel);
    const int rhs_panels = DivideUp(area.num_columns, kPanel);
    TileJob job = {lhs.panels + m * chunk_.num_words,
                   rhs.panels + n * chunk_.num_words,
                   kPanel * chunk_.num_words,
                   chunk_.num_words,
                   lhs_panels,
                   rhs_panels,
                   static_cast<int>(area.num_rows),
                   nullptr,
                   0,
                   accumulate_,
                   false};
    const bool is_whole = area.num_rows % kPanel == 0 && area.num_columns % kPanel == 0;
    if (is_whole) job.c = InPlace(target_, area, &job.ldc);
    if (job.c != nullptr) {
      job.past_caches = past_caches_ && AreLines(job.c, job.ldc);
      return kernels_.multiply(job);
    }
    alignas(64) float values[kMaxTileRows * kMaxTileColumns];
    job.c = values;
    job.ldc = kMaxTileColumns;
    job.accumulate = false;
    kernels_.multiply(job);
    Store(target_, area, values, job.ldc, accumulate_, kernels_);
  }

  static bool AreLines(const float* c, int64_t ldc) {
    return reinterpret_cast<uintptr_t>(c) % kLineBytes == 0 &&
           ldc * 4 % kLineBytes == 0;
  }

  const HostKernels& kernels_;
  const Chunk chunk_;
  const bool accumulate_;
  const Target& target_;
  const bool past_caches_;
  const bool shares_lhs_;
  const Side &shared_, &streamed_;
  const ParallelLoop& parallel_;
  const int64_t piece_rows_;
};

}  // namespace

int64_t NumPasses(const HostKernels& kernels, int64_t num_k, const PartPairs& parts) {
  return NumChunks(kernels, num_k) * static_cast<int64_t>(parts.size());
}

void MultiplyByTiles(const HostKernels& kernels, const Matrix& lhs, const Matrix& rhs,
                     const PartPairs& parts, const Target& target,
                     const ParallelLoop& parallel) {
  const int64_t num_chunks = NumChunks(kernels, lhs.num_k());
  const bool is_only = NumPasses(kernels, lhs.num_k(), parts) == 1;
  bool accumulate = false;
  for (const auto& [lhs_part, rhs_part] : parts) {
    if (accumulate && lhs_part == 0 && rhs_part == 0) {
      ClearNonFinite(target, {0, lhs.num_rows(), 0, rhs.num_rows()});
    }
    const Side lhs_side(kernels, lhs, /*is_lhs=*/true, lhs_part);
    const Side rhs_side(kernels, rhs, /*is_lhs=*/false, rhs_part);
    for (int64_t i = 0; i < num_chunks; ++i, accumulate = true) {
      const Chunk chunk = ChunkOf(kernels, lhs.num_k(), i);
      Pass(kernels, lhs_side, rhs_side, chunk, accumulate, is_only, target, parallel)
          .Run();
    }
  }
}

}  // namespace jax_npu
