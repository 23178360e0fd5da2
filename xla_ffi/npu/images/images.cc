#include "xla_ffi/npu/images/images.h"

#include <algorithm>
#include <functional>

#include "xla_ffi/base/counters.h"
#include "xla_ffi/npu/images/pack.h"

namespace jax_npu {
namespace {

constexpr int64_t kStripRows = 64;  // rows of an image that one item of work packs
// Elements below which another thread costs more than it brings.
constexpr int64_t kMinParallelSize = 1 << 16;

// Bytes read and written. Padding is written, not read.
int64_t PackedBytes(const ImageSource& source, const ImageWindow& window) {
  const int64_t num_free = std::clamp<int64_t>(
      static_cast<int64_t>(source.free.size()) - window.first, 0, window.size);
  const int64_t num_read =
      window.num_batches * num_free * source.k.size() * source.parts.size();
  return num_read * NumBytes(source.operand.dtype) + window.num_bytes();
}

// A result in bf16 is converted, one in f32 is only copied.
void CountUnpacked(int64_t num_elements, DType dtype) {
  Count(
      dtype == DType::kF32 ? TheCounters().copied_bytes : TheCounters().converted_bytes,
      num_elements * (sizeof(float) + NumBytes(dtype)));
}

const void* At(const void* data, DType dtype, int64_t element) {
  return static_cast<const char*>(data) + element * NumBytes(dtype);
}

void FillZero(uint16_t* image, int64_t num_rows, int64_t first, int64_t end,
              int64_t stride) {
  for (int64_t row = 0; row < num_rows; ++row) {
    std::fill(image + row * stride + first, image + row * stride + end, 0);
  }
}

// Packs rows [first, end) of one batch entry's image (free, padded_k): the passes over
// k lie side by side, followed by zeros.
void PackAlongK(const ImageSource& source, const ImageWindow& window, const void* data,
                int64_t first, int64_t end, uint16_t* image) {
  const int64_t num_free = static_cast<int64_t>(source.free.size());
  const int64_t num_k = static_cast<int64_t>(source.k.size());
  const int64_t left = num_free - window.first - first;
  const int64_t num_rows = std::clamp<int64_t>(left, 0, end - first);
  int64_t column = 0;  // pass * num_k
  for (const Bf16Choice& part : source.parts) {
    PackImage(
        data, source.operand.dtype,
        {source.free.data() + window.first + first, num_rows, source.k.data(), num_k},
        part, image + column, window.padded_k);
    column += num_k;
  }
  // Columns past the last pass, and rows past the last of the operand.
  FillZero(image, num_rows, column, window.padded_k, window.padded_k);
  FillZero(image + num_rows * window.padded_k, end - first - num_rows, 0,
           window.padded_k, window.padded_k);
}

// Packs rows [first, end) of one batch entry's image (padded_k, free): the passes over
// k lie below each other, followed by rows of zeros.
void PackAcrossK(const ImageSource& source, const ImageWindow& window, const void* data,
                 int64_t first, int64_t end, uint16_t* image) {
  const int64_t num_free = static_cast<int64_t>(source.free.size());
  const int64_t num_k = static_cast<int64_t>(source.k.size());
  const int64_t num_columns = std::min(num_free - window.first, window.size);
  int64_t row = first;  // row = pass * num_k + k
  while (row < end && row / num_k < static_cast<int64_t>(source.parts.size())) {
    const int64_t k = row % num_k, num_rows = std::min(num_k - k, end - row);
    PackImage(
        data, source.operand.dtype,
        {source.k.data() + k, num_rows, source.free.data() + window.first, num_columns},
        source.parts[row / num_k], image, window.size);
    FillZero(image, num_rows, num_columns, window.size, window.size);
    image += num_rows * window.size;
    row += num_rows;
  }
  FillZero(image, end - row, 0, window.size, window.size);  // past the last pass
}

// Calls f(item) for every item, in parallel if the image is large enough.
void ForEach(int64_t num_items, int64_t total_size, const ParallelLoop& parallel,
             const std::function<void(int64_t)>& f) {
  if (total_size >= kMinParallelSize) return parallel(num_items, f);
  for (int64_t item = 0; item < num_items; ++item) f(item);
}

}  // namespace

void PackOperandImage(const ImageSource& source, const ImageWindow& window,
                      uint16_t* image, const ParallelLoop& parallel) {
  Count(TheCounters().packed_bytes, PackedBytes(source, window));
  const int64_t num_rows = source.k_is_rows ? window.padded_k : window.size;
  const int64_t num_columns = source.k_is_rows ? window.size : window.padded_k;
  const int64_t num_strips = (num_rows + kStripRows - 1) / kStripRows;
  ForEach(window.num_batches * num_strips, window.num_batches * num_rows * num_columns,
          parallel, [&](int64_t item) {
            const Stopwatch stopwatch(TheCounters().pack_ns);
            const int64_t batch = item / num_strips;
            const int64_t first = item % num_strips * kStripRows;
            const int64_t end = std::min(first + kStripRows, num_rows);
            const void* data = At(source.operand.data, source.operand.dtype,
                                  source.batch[window.first_batch + batch]);
            uint16_t* strip = image + (batch * num_rows + first) * num_columns;
            (source.k_is_rows ? PackAcrossK : PackAlongK)(source, window, data, first,
                                                          end, strip);
          });
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
  const int64_t num_strips = (num_rows + kStripRows - 1) / kStripRows;
  ForEach(window.num_batches * num_strips, window.num_batches * num_rows * num_columns,
          parallel, [&](int64_t item) {
            const int64_t batch = item / num_strips;
            const int64_t first = item % num_strips * kStripRows;
            const int64_t base = contraction.batch.out[window.first_batch + batch];
            UnpackImage(image + (batch * window.num_rows + first) * window.num_columns,
                        window.num_columns,
                        {rows.data() + window.first_row + first,
                         std::min(kStripRows, num_rows - first),
                         columns.data() + window.first_column, num_columns},
                        out.dtype, const_cast<void*>(At(out.data, out.dtype, base)));
          });
}

}  // namespace jax_npu
