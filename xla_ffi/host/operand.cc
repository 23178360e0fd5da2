#include "xla_ffi/host/operand.h"

#include <algorithm>
#include <thread>

#include "xla_ffi/base/counters.h"

namespace jax_npu {
namespace {

// Small items spread well over threads; so many panels are long enough to stream.
constexpr int64_t kMaxPanelsPerItem = 4;

}  // namespace

// ceil(k / the longest chunk), and one chunk of nothing for k = 0.
int64_t NumChunks(const HostKernels& kernels, int64_t num_k) {
  return std::max<int64_t>(DivideUp(num_k, kernels.max_words * kernels.k_per_word), 1);
}

Chunk ChunkOf(const HostKernels& kernels, int64_t num_k, int64_t index) {
  // Contracted indices that are packed together; each chunk but the last is a multiple.
  const int64_t granule = kernels.k_per_word * kernels.word_multiple;
  const int64_t length =
      DivideUp(DivideUp(num_k, NumChunks(kernels, num_k)), granule) * granule;
  const int64_t k0 = std::min(index * length, num_k);
  const int64_t size = std::min(length, num_k - k0);
  return {k0, size, DivideUp(size, granule) * kernels.word_multiple,
          k0 / kernels.k_per_word};
}

const uint32_t* Side::FindPacked(const Rows& rows, const Chunk& chunk) const {
  if (matrix_.dtype != DType::kPacked) return nullptr;
  // PackMatrix writes chunk after chunk, each (panels, num_words, kPanel).
  const int64_t all_rows = DivideUp(num_rows(), kPanel) * kPanel;
  return static_cast<const uint32_t*>(matrix_.data) + chunk.words_before * all_rows +
         chunk.num_words * rows.first;
}

void Side::Pack(const Rows& rows, const Chunk& chunk, uint32_t* to) const {
  const Stopwatch stopwatch(TheCounters().pack_ns);
  // If rows are neighbours in memory, each step reads along all of them, panel after
  // panel, for kPanel words of k; else each panel is packed over all of k.
  const int64_t step = LieTogether(rows) ? kPanel : chunk.num_words;
  for (int64_t word = 0; word < chunk.num_words; word += step) {
    const int64_t num_words = std::min(step, chunk.num_words - word);
    const Chunk part = PartOf(chunk, word, num_words);
    for (int64_t row = 0; row < rows.size; row += kPanel) {
      pack_(
          StripOf({rows.first + row, std::min<int64_t>(kPanel, rows.size - row)}, part),
          num_words, to + row * chunk.num_words + word * kPanel);
    }
  }
  // Padding is written, not read.
  const int64_t read = rows.size * chunk.num_k * NumBytes(matrix_.dtype);
  const int64_t written = PackedWords(rows, chunk) * sizeof(uint32_t);
  Count(TheCounters().packed_bytes, read + written);
}

bool Side::LieTogether(const Rows& rows) const {
  const int64_t* offsets = matrix_.rows->data() + rows.first;
  return rows.size > 1 && offsets[1] - offsets[0] == 1;
}

Chunk Side::PartOf(const Chunk& chunk, int64_t word, int64_t num_words) const {
  const int64_t k = std::min(word * k_per_word_, chunk.num_k);
  return {chunk.k0 + k, std::min(num_words * k_per_word_, chunk.num_k - k), num_words,
          0};
}

Strip Side::StripOf(const Rows& rows, const Chunk& chunk) const {
  return {matrix_.data,
          matrix_.dtype,
          matrix_.rows->data() + rows.first,
          rows.size,
          matrix_.ks->data() + chunk.k0,
          chunk.num_k,
          part_};
}

int64_t PackedWords(const Rows& rows, const Chunk& chunk) {
  return rows.num_panels() * kPanel * chunk.num_words;
}

PackItems::PackItems(const Side& side, const Rows& rows, const Chunk& chunk,
                     uint32_t* panels, int64_t num_threads)
    : side_(side),
      rows_(rows),
      chunk_(chunk),
      panels_(panels),
      item_rows_(kPanel * std::clamp<int64_t>(rows.num_panels() / (2 * num_threads), 1,
                                              kMaxPanelsPerItem)),
      num_left_(size()) {}

int64_t PackItems::size() const { return DivideUp(rows_.size, item_rows_); }

// Releases the panels to the threads that Wait.
void PackItems::Pack(int64_t item) {
  const int64_t row = item * item_rows_;
  side_.Pack({rows_.first + row, std::min(item_rows_, rows_.size - row)}, chunk_,
             panels_ + row * chunk_.num_words);
  num_left_.fetch_sub(1, std::memory_order_release);
}

void PackItems::Wait() const {
  while (num_left_.load(std::memory_order_acquire) > 0) std::this_thread::yield();
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

}  // namespace jax_npu
