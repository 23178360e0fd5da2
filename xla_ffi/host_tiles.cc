// The smaller operand is packed whole, by all threads, and shared; each thread packs
// the larger one piece by piece and multiplies each piece with all that is shared. So
// every element is rounded and packed once, and what a piece needs next is fetched from
// memory while it is multiplied.

#include "host_tiles.h"

#include <algorithm>

#include "counters.h"
#include "host_scratch.h"

namespace jax_npu {
namespace {

// Rows of the shared operand at a time: bounds memory, and stays in the outer cache.
constexpr int64_t kMaxSharedRows = 3072;
// Panels of lhs that are streamed as one piece: the shared rhs is read once for each.
constexpr int kStreamedLhsPanels = 4;
// The same of rhs, in tiles.
constexpr int kStreamedRhsTiles = 4;
// Tiles of a row of the result that are computed one after the other.
constexpr int kTilesAcross = 4;
constexpr int64_t kMaxPiecesPerItem = 8;
// Of a result that is stored past the caches: they hold little of it when it is read.
constexpr int64_t kMinPastCachesBytes = 4 << 20;
constexpr int kMaxTileRows = 2 * kPanel, kMaxTileColumns = 3 * kPanel;

// Rows that are packed.
struct Packed {
  const uint32_t* panels;
  Rows rows;
};

class Pass {
 public:
  Pass(const HostKernels& kernels, const Side& lhs, const Side& rhs, const Chunk& chunk,
       bool accumulate, bool is_only, const Target& target)
      : kernels_(kernels),
        chunk_(chunk),
        accumulate_(accumulate),
        target_(target),
        // A weight's gradient, which the optimizer reads much later, is contracted over
        // the first dimension of both operands: tokens.
        past_caches_(is_only && lhs.LiesAcross() && rhs.LiesAcross() &&
                     lhs.num_rows() * rhs.num_rows() * 4 >= kMinPastCachesBytes),
        shares_lhs_(lhs.num_rows() <= rhs.num_rows()),
        shared_(shares_lhs_ ? lhs : rhs),
        streamed_(shares_lhs_ ? rhs : lhs),
        piece_rows_(kPanel *
                    (shares_lhs_ ? kStreamedRhsTiles * kernels.rhs_panels
                                 : std::max(kernels.lhs_panels, kStreamedLhsPanels))) {}

  void Run(const ParallelLoop& parallel) const {
    static thread_local Scratch scratch;
    const int64_t num_rows = shared_.num_rows();
    for (int64_t first = 0; first < num_rows; first += kMaxSharedRows) {
      const Rows rows = {first, std::min(kMaxSharedRows, num_rows - first)};
      if (const uint32_t* panels = shared_.FindPacked(rows, chunk_)) {
        Stream({panels, rows}, nullptr, parallel);
      } else {
        auto* to = scratch.Reserve<uint32_t>(PackedWords(rows, chunk_));
        PackItems items(shared_, rows, chunk_, to, parallel.num_threads);
        Stream({to, rows}, &items, parallel);
      }
    }
  }

 private:
  // One loop packs and multiplies, for to wake a thread takes as long as a small
  // product. Items are taken in order: once a thread multiplies, running threads have
  // taken all that is to be packed.
  void Stream(const Packed& shared, PackItems* pack,
              const ParallelLoop& parallel) const {
    const int64_t num_to_pack = pack ? pack->size() : 0;
    const int64_t num_pieces = DivideUp(streamed_.num_rows(), piece_rows_);
    const int64_t per_item = std::clamp<int64_t>(
        num_pieces / (3 * parallel.num_threads), 1, kMaxPiecesPerItem);
    parallel(num_to_pack + DivideUp(num_pieces, per_item), [&](int64_t index) {
      if (index < num_to_pack) return pack->Pack(index);
      if (pack) pack->Wait();
      if (kernels_.enter) kernels_.enter();
      const int64_t item = index - num_to_pack;
      const int64_t end = std::min((item + 1) * per_item, num_pieces);
      for (int64_t piece = item * per_item; piece < end; ++piece) {
        // Threads take items in turn.
        const int64_t next_piece =
            piece + 1 < end ? piece + 1 : (item + parallel.num_threads) * per_item;
        MultiplyPiece(shared, Piece(piece),
                      next_piece < num_pieces ? Piece(next_piece) : Rows{0, 0});
      }
      if (kernels_.leave) kernels_.leave();
    });
  }

  void MultiplyPiece(const Packed& shared, const Rows& rows, const Rows& next) const {
    static thread_local Scratch scratch;
    const uint32_t* panels = streamed_.FindPacked(rows, chunk_);
    if (panels == nullptr) {
      auto* to = scratch.Reserve<uint32_t>(PackedWords(rows, chunk_));
      streamed_.Pack(rows, chunk_, to);
      panels = to;
    }
    const Packed streamed = {panels, rows};
    Multiply(shares_lhs_ ? shared : streamed, shares_lhs_ ? streamed : shared, next);
  }

  Rows Piece(int64_t index) const {
    const int64_t first = index * piece_rows_;
    return {first, std::min(piece_rows_, streamed_.num_rows() - first)};
  }

  void Multiply(const Packed& lhs, const Packed& rhs, const Rows& next) const {
    const Stopwatch stopwatch(TheCounters().multiply_ns);
    const int64_t tile_rows = kernels_.lhs_panels * kPanel;
    const int64_t tile_columns = kernels_.rhs_panels * kPanel;
    const int64_t num_tiles =
        DivideUp(lhs.rows.size, tile_rows) * DivideUp(rhs.rows.size, tile_columns);
    const int64_t block_columns = kTilesAcross * tile_columns;
    int64_t tile = 0;
    for (int64_t first = 0; first < rhs.rows.size; first += block_columns) {
      const int64_t end = std::min(first + block_columns, rhs.rows.size);
      for (int64_t m = 0; m < lhs.rows.size; m += tile_rows) {
        for (int64_t n = first; n < end; n += tile_columns) {
          MultiplyTile(lhs, m, rhs, n,
                       {lhs.rows.first + m, std::min(tile_rows, lhs.rows.size - m),
                        rhs.rows.first + n, std::min(tile_columns, rhs.rows.size - n)});
          streamed_.Prefetch(next, chunk_, tile++, num_tiles);
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
      Pass(kernels, lhs_side, rhs_side, chunk, accumulate, is_only, target)
          .Run(parallel);
    }
  }
}

}  // namespace jax_npu
