#include "xla_ffi/npu/images/images.h"

#include <algorithm>
#include <functional>

#include "xla_ffi/base/counters.h"
#include "xla_ffi/npu/images/pack.h"
#include "xla_ffi/npu/images/past_caches.h"
#include "xla_ffi/npu/images/sync.h"
#include "xla_ffi/trace/parts.h"

namespace jax_npu {
namespace {

constexpr int64_t kStripRows = 64;       // rows of an image that one item of work packs
constexpr int64_t kPieceColumns = 1024;  // of rows that are put into tiles: 32 KB
// Results of that size are stored past the caches: most are gradients, which nobody
// reads soon, and the others would not stay in a core's cache.
constexpr int64_t kPastCachesBytes = 2 << 20;
// Elements below which another thread costs more than it brings.
constexpr int64_t kMinParallelSize = 1 << 16;

// A result in bf16 is converted, one in f32 is only copied.
void CountUnpacked(int64_t num_elements, DType dtype) {
  Count(
      dtype == DType::kF32 ? TheCounters().copied_bytes : TheCounters().converted_bytes,
      num_elements * (sizeof(float) + NumBytes(dtype)));
}

// Rows of a result's image that one item of work unpacks. Where its columns lie across
// memory, and begin anywhere in a line of the cache, the lines at both ends of what an
// item stores take longer than the others, and longer items have fewer of them.
int64_t RowsToUnpack(const Offsets& columns, bool past_caches, DType dtype) {
  if (!past_caches || columns.size() < 2) return kStripRows;
  const int64_t distance = (columns[1] - columns[0]) * NumBytes(dtype);
  return distance % static_cast<int64_t>(kCacheLine) == 0 ? kStripRows
                                                          : kMaxUnpackedRows;
}

const void* At(const void* data, DType dtype, int64_t element) {
  return static_cast<const char*>(data) + element * NumBytes(dtype);
}

void FillZero(uint16_t* image, int64_t num_rows, int64_t num_columns, int64_t stride) {
  for (int64_t row = 0; row < num_rows; ++row) {
    std::fill_n(image + row * stride, num_columns, 0);
  }
}

// Where the rows of a part of one batch entry's image go: row-major, whatever the
// layout of the image.
struct RowsOut {
  uint16_t* data;
  int64_t stride;
};

// Packs a range of k, over all passes, and of the free dimension, counted from the
// window's. The passes over k lie one after the other, followed by zeros.
void PackRows(const ImageSource& source, const ImageWindow& window, const void* data,
              Range k, Range free, RowsOut out) {
  const bool k_is_rows = source.layout.k_is_rows;
  const int64_t k_stride = k_is_rows ? out.stride : 1;
  const int64_t free_stride = k_is_rows ? 1 : out.stride;
  const int64_t num_k = static_cast<int64_t>(source.k.size());
  const int64_t num_passes = static_cast<int64_t>(source.parts.size());
  const int64_t first_free = window.first + free.first;
  // Those that are no padding.
  const int64_t num_free = std::clamp<int64_t>(
      static_cast<int64_t>(source.free.size()) - first_free, 0, free.size);
  const auto zero = [&](Range k_range, int64_t from_free) {
    uint16_t* first =
        out.data + (k_range.first - k.first) * k_stride + from_free * free_stride;
    const int64_t k_size = k_range.size, free_size = free.size - from_free;
    FillZero(first, k_is_rows ? k_size : free_size, k_is_rows ? free_size : k_size,
             out.stride);
  };
  const int64_t end = k.first + k.size;
  int64_t place = k.first;  // pass * num_k + k
  while (num_free > 0 && place < end && place / num_k < num_passes) {
    const int64_t first_k = place % num_k;
    const int64_t size = std::min(num_k - first_k, end - place);
    const int64_t *k_places = source.k.data() + first_k,
                  *free_places = source.free.data() + first_free;
    PackImage(data, source.operand.dtype,
              k_is_rows ? Places{k_places, size, free_places, num_free}
                        : Places{free_places, num_free, k_places, size},
              source.parts[place / num_k], out.data + (place - k.first) * k_stride,
              out.stride);
    place += size;
  }
  zero({k.first, place - k.first}, num_free);  // past the operand's free indices
  zero({place, end - place}, 0);               // past the last pass
}

// Packs kImageTile rows of one batch entry's image in tiles, piece by piece, so that
// the rows of a piece are still in the cache when they are put into tiles.
void PackTiles(const ImageSource& source, const ImageWindow& window, const void* data,
               int64_t first_row, int64_t num_columns, uint16_t* tiles) {
  uint16_t rows[kImageTile * kPieceColumns];
  for (int64_t first = 0; first < num_columns; first += kPieceColumns) {
    const int64_t size = std::min(kPieceColumns, num_columns - first);
    const Range of_rows = {first_row, kImageTile}, of_columns = {first, size};
    const bool k_is_rows = source.layout.k_is_rows;
    PackRows(source, window, data, k_is_rows ? of_rows : of_columns,
             k_is_rows ? of_columns : of_rows, {rows, size});
    PutInTiles({rows, size}, size, tiles + first * kImageTile);
  }
}

// Calls f(item) for every item, in parallel if the image is large enough.
void ForEach(int64_t num_items, int64_t total_size, const ParallelLoop& parallel,
             const std::function<void(int64_t)>& f) {
  if (IsLarge(total_size)) return parallel(num_items, f);
  for (int64_t item = 0; item < num_items; ++item) f(item);
}

}  // namespace

bool IsLarge(int64_t num_elements) { return num_elements >= kMinParallelSize; }

int64_t NumPastEnd(const ImageLayout& layout, int64_t num_free, int64_t num_k,
                   std::initializer_list<int64_t> blocks) {
  if (!layout.is_tiled) return 0;
  const int64_t num_rows = layout.k_is_rows ? num_k : num_free;
  const int64_t num_columns = layout.k_is_rows ? num_free : num_k;
  int64_t num_past_end = 0;
  for (const int64_t block : blocks) {
    const auto past = [block](int64_t size) { return (block - size % block) % block; };
    // Rows of tiles follow each other, and in them columns of tiles.
    num_past_end = std::max(
        {num_past_end, past(num_rows) * num_columns, past(num_columns) * kImageTile});
  }
  return num_past_end;
}

int64_t PackedBytes(const ImageSource& source, const ImageWindow& window) {
  const int64_t num_free = std::clamp<int64_t>(
      static_cast<int64_t>(source.free.size()) - window.first, 0, window.size);
  const int64_t num_read =
      window.num_batches * num_free * source.k.size() * source.parts.size();
  return num_read * NumBytes(source.operand.dtype) + window.num_bytes();
}

void PackOperandImage(const ImageSource& source, const ImageWindow& window,
                      NpuBuffer& buffer, const ParallelLoop& parallel) {
  Count(TheCounters().packed_images, 1);
  Count(TheCounters().packed_bytes, PackedBytes(source, window));
  auto* image = reinterpret_cast<uint16_t*>(buffer.data());
  const int64_t image_size = window.num_batches * window.size * window.padded_k;
  std::fill_n(image + image_size, window.num_past_end, 0);
  const bool k_is_rows = source.layout.k_is_rows;
  const int64_t num_rows = k_is_rows ? window.padded_k : window.size;
  const int64_t num_columns = k_is_rows ? window.size : window.padded_k;
  const int64_t strip_rows = source.layout.is_tiled ? kImageTile : kStripRows;
  const int64_t num_strips = (num_rows + strip_rows - 1) / strip_rows;
  const ProductInfo* const product = CurrentProduct();
  const int64_t item_bytes = PackedBytes(source, window) /
                             std::max<int64_t>(window.num_batches * num_strips, 1);
  ForEach(window.num_batches * num_strips, image_size, parallel, [&](int64_t item) {
    const ProductScope scope(product);
    const PartTimer timer(Part::kPack, item_bytes);
    const int64_t batch = item / num_strips;
    const int64_t first = item % num_strips * strip_rows;
    const void* data = At(source.operand.data, source.operand.dtype,
                          source.batch[window.first_batch + batch]);
    uint16_t* strip = image + (batch * num_rows + first) * num_columns;
    if (source.layout.is_tiled) {
      return PackTiles(source, window, data, first, num_columns, strip);
    }
    const Range rows = {first, std::min(strip_rows, num_rows - first)};
    const Range columns = {0, num_columns};
    PackRows(source, window, data, k_is_rows ? rows : columns,
             k_is_rows ? columns : rows, {strip, num_columns});
  });
  SyncToDevice(buffer, window.num_bytes(), parallel);
}

void UnpackResult(const float* image, const ResultWindow& window,
                  const Contraction& contraction, Result out,
                  const ParallelLoop& parallel) {
  const Offsets &rows = contraction.m.out, &columns = contraction.n.out;
  const int64_t num_rows =
      std::min(contraction.m.size() - window.first_row, window.num_rows);
  const int64_t num_columns =
      std::min(contraction.n.size() - window.first_column, window.num_columns);
  CountUnpacked(window.num_batches * num_rows * num_columns, out.dtype);
  const bool past_caches = contraction.batch.size() * contraction.m.size() *
                               contraction.n.size() * NumBytes(out.dtype) >=
                           kPastCachesBytes;
  const int64_t strip_rows = RowsToUnpack(columns, past_caches, out.dtype);
  const int64_t num_strips = (num_rows + strip_rows - 1) / strip_rows;
  const ProductInfo* const product = CurrentProduct();
  ForEach(window.num_batches * num_strips, window.num_batches * num_rows * num_columns,
          parallel, [&](int64_t item) {
            const int64_t batch = item / num_strips;
            const int64_t first = item % num_strips * strip_rows;
            const int64_t item_rows = std::min(strip_rows, num_rows - first);
            const ProductScope scope(product);
            const PartTimer timer(
                Part::kUnpack,
                item_rows * num_columns *
                    static_cast<int64_t>(sizeof(float) + NumBytes(out.dtype)));
            const int64_t base = contraction.batch.out[window.first_batch + batch];
            UnpackImage(image + (batch * window.num_rows + first) * window.num_columns,
                        window.num_columns,
                        {rows.data() + window.first_row + first, item_rows,
                         columns.data() + window.first_column, num_columns},
                        out.dtype, past_caches,
                        const_cast<void*>(At(out.data, out.dtype, base)));
          });
}

}  // namespace jax_npu
