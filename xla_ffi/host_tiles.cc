// The smaller operand is packed whole, by all threads, and shared; each thread packs
// the larger one piece by piece and multiplies each piece with all that is shared. So
// every element is rounded and packed once, and what a piece needs next is fetched from
// memory while it is multiplied.

#include "host_tiles.h"

#include <algorithm>
#include <atomic>
#include <thread>

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
constexpr int64_t kMaxPanelsPerItem = 4;
constexpr int64_t kMaxPiecesPerItem = 8;
constexpr int64_t kLineBytes = 64;
// Of a result that is stored past the caches: they hold little of it when it is read.
constexpr int64_t kMinPastCachesBytes = 4 << 20;
constexpr int kMaxTileRows = 2 * kPanel, kMaxTileColumns = 3 * kPanel;

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t NumBytes(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

// The part of k that one pass multiplies.
struct Chunk {
  int64_t k0, num_k, num_words;
  int64_t words_before;  // of a packed row, in the chunks before
};

// Rows of an operand, packed or to be packed.
struct Rows {
  int64_t first, size;
  int64_t num_panels() const { return DivideUp(size, kPanel); }
};

class Side {
 public:
  Side(const HostKernels& kernels, const Matrix& matrix, bool is_lhs, int part)
      : matrix_(matrix),
        part_(part),
        k_per_word_(kernels.k_per_word),
        pack_(is_lhs ? kernels.pack_lhs : kernels.pack_rhs) {}

  int64_t num_rows() const { return matrix_.num_rows(); }

  // Whether rows are neighbours in memory, not contracted indices.
  bool LiesAcross() const { return LieTogether({0, num_rows()}); }

  // A packed operand's words of these rows, null for one that is not packed.
  const uint32_t* FindPacked(const Rows& rows, const Chunk& chunk) const {
    if (matrix_.dtype != DType::kPacked) return nullptr;
    const int64_t all_rows = DivideUp(num_rows(), kPanel) * kPanel;
    return static_cast<const uint32_t*>(matrix_.data) + chunk.words_before * all_rows +
           chunk.num_words * rows.first;
  }

  void Pack(const Rows& rows, const Chunk& chunk, uint32_t* to) const {
    const Stopwatch stopwatch(TheCounters().pack_ns);
    // Where rows are neighbours in memory it is read along them, all panels in turn.
    const int64_t step = LieTogether(rows) ? kPanel : chunk.num_words;
    for (int64_t word = 0; word < chunk.num_words; word += step) {
      const int64_t num_words = std::min(step, chunk.num_words - word);
      const Chunk part = PartOf(chunk, word, num_words);
      for (int64_t row = 0; row < rows.size; row += kPanel) {
        pack_(
            StripOf({rows.first + row, std::min<int64_t>(kPanel, rows.size - row)},
                    part),
            num_words, to + row * chunk.num_words + word * kPanel);
      }
    }
    const int64_t read = rows.size * chunk.num_k * NumBytes(matrix_.dtype);
    const int64_t written = rows.num_panels() * kPanel * chunk.num_words * 4;
    Count(TheCounters().packed_bytes, read + written);
  }

  // Fetches share `index` of `count` of what Pack of these rows will read.
  void Prefetch(const Rows& rows, const Chunk& chunk, int64_t index,
                int64_t count) const {
    if (rows.size <= 0 || chunk.num_k == 0 || matrix_.dtype == DType::kPacked) return;
    const Strip strip = StripOf(rows, chunk);
    const bool down = LieTogether(rows);
    const int64_t size = down ? strip.num_k : strip.num_rows;
    const int64_t* lines = down ? strip.ks : strip.rows;
    const int64_t along = down ? strip.num_rows : strip.num_k;
    const int64_t base = down ? strip.rows[0] : strip.ks[0];
    for (int64_t i = size * index / count; i < size * (index + 1) / count; ++i) {
      const char* from = static_cast<const char*>(strip.data) +
                         (base + lines[i]) * NumBytes(strip.dtype);
      const char* end = from + along * NumBytes(strip.dtype);
      for (; from < end; from += kLineBytes) __builtin_prefetch(from, 0, 2);
    }
  }

 private:
  bool LieTogether(const Rows& rows) const {
    const int64_t* offsets = matrix_.rows->data() + rows.first;
    return rows.size > 1 && offsets[1] - offsets[0] == 1;
  }

  Chunk PartOf(const Chunk& chunk, int64_t word, int64_t num_words) const {
    const int64_t k = std::min(word * k_per_word_, chunk.num_k);
    return {chunk.k0 + k, std::min(num_words * k_per_word_, chunk.num_k - k), num_words,
            0};
  }

  Strip StripOf(const Rows& rows, const Chunk& chunk) const {
    return {matrix_.data,
            matrix_.dtype,
            matrix_.rows->data() + rows.first,
            rows.size,
            matrix_.ks->data() + chunk.k0,
            chunk.num_k,
            part_};
  }

  const Matrix& matrix_;
  const int part_;
  const int64_t k_per_word_;
  void (*const pack_)(const Strip&, int64_t, uint32_t*);
};

// Rows that are packed.
struct Packed {
  const uint32_t* panels;
  Rows rows;
};

int64_t PackedWords(const Rows& rows, const Chunk& chunk) {
  return rows.num_panels() * kPanel * chunk.num_words;
}

// Packs rows in items, which several threads may take.
class PackItems {
 public:
  PackItems(const Side& side, const Rows& rows, const Chunk& chunk, uint32_t* panels,
            int num_threads)
      : side_(side),
        rows_(rows),
        chunk_(chunk),
        panels_(panels),
        item_rows_(kPanel * std::clamp<int64_t>(rows.num_panels() / (2 * num_threads),
                                                1, kMaxPanelsPerItem)),
        num_left_(size()) {}

  int64_t size() const { return DivideUp(rows_.size, item_rows_); }

  void Pack(int64_t item) {
    const int64_t row = item * item_rows_;
    side_.Pack({rows_.first + row, std::min(item_rows_, rows_.size - row)}, chunk_,
               panels_ + row * chunk_.num_words);
    num_left_.fetch_sub(1, std::memory_order_release);
  }

  // Until other threads have packed what they took.
  void Wait() const {
    while (num_left_.load(std::memory_order_acquire) > 0) std::this_thread::yield();
  }

 private:
  const Side& side_;
  const Rows rows_;
  const Chunk chunk_;
  uint32_t* const panels_;
  const int64_t item_rows_;
  std::atomic<int64_t> num_left_;
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
  void Stream(const Packed& shared, PackItems* pack, const ParallelLoop& parallel) const {
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
    return reinterpret_cast<uintptr_t>(c) % kLineBytes == 0 && ldc * 4 % kLineBytes == 0;
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

int64_t NumChunks(const HostKernels& kernels, int64_t num_k) {
  return std::max<int64_t>(DivideUp(num_k, kernels.max_words * kernels.k_per_word), 1);
}

// Of equal lengths but for the last.
Chunk ChunkOf(const HostKernels& kernels, int64_t num_k, int64_t index) {
  const int64_t granule = kernels.k_per_word * kernels.word_multiple;
  const int64_t length =
      DivideUp(DivideUp(num_k, NumChunks(kernels, num_k)), granule) * granule;
  const int64_t k0 = std::min(index * length, num_k);
  const int64_t size = std::min(length, num_k - k0);
  return {k0, size, DivideUp(size, granule) * kernels.word_multiple,
          k0 / kernels.k_per_word};
}

}  // namespace

int64_t NumPasses(const HostKernels& kernels, int64_t num_k, const PartPairs& parts) {
  return NumChunks(kernels, num_k) * static_cast<int64_t>(parts.size());
}

int64_t PackedMatrixWords(const HostKernels& kernels, int64_t num_rows, int64_t num_k) {
  const Chunk last = ChunkOf(kernels, num_k, NumChunks(kernels, num_k) - 1);
  return DivideUp(num_rows, kPanel) * kPanel * (last.words_before + last.num_words);
}

void PackMatrix(const HostKernels& kernels, const Matrix& matrix, bool is_lhs,
                uint32_t* packed, const ParallelLoop& parallel) {
  const Side side(kernels, matrix, is_lhs, 0);
  const Rows rows = {0, matrix.num_rows()};
  for (int64_t i = 0; i < NumChunks(kernels, matrix.num_k()); ++i) {
    const Chunk chunk = ChunkOf(kernels, matrix.num_k(), i);
    PackItems items(side, rows, chunk, packed, parallel.num_threads);
    parallel(items.size(), [&](int64_t item) { items.Pack(item); });
    packed += PackedWords(rows, chunk);
  }
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
