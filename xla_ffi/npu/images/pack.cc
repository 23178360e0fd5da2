#include "xla_ffi/npu/images/pack.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "xla_ffi/base/dtype.h"
#include "xla_ffi/npu/images/past_caches.h"
#include "xla_ffi/npu/images/transposition.h"

namespace jax_npu {
namespace {

// The side of the tiles that are transposed: 32 f32 are two lines of the cache.
constexpr int64_t kTile = 32;
// Elements that lie next to each other in memory, of a tile that is unpacked: the
// longer they are, the fewer lines are written in two parts.
constexpr int64_t kUnpackedRows = 64;
constexpr int64_t kPieceSize =
    1024;  // elements that are rounded before they are stored

// Rows (or columns) that are neighbours both in a matrix and in memory.
struct Stretch {
  int64_t first;   // index in the matrix
  int64_t offset;  // offset in memory, in elements
  int64_t size;
};

int64_t CountStretches(const int64_t* offsets, int64_t size) {
  int64_t gaps = 0;  // first whether there are any, in a loop of vectors
  for (int64_t i = 1; i < size; ++i) gaps |= offsets[i] - offsets[i - 1] - 1;
  int64_t count = size > 0;
  if (gaps == 0) return count;
  for (int64_t i = 1; i < size; ++i) count += offsets[i] != offsets[i - 1] + 1;
  return count;
}

std::vector<Stretch> StretchesOf(const int64_t* offsets, int64_t size, int64_t count) {
  std::vector<Stretch> stretches;
  stretches.reserve(count);
  if (count == 1) return {{0, offsets[0], size}};
  for (int64_t i = 0; i < size; ++i) {
    if (i > 0 && offsets[i] == offsets[i - 1] + 1) {
      ++stretches.back().size;
    } else {
      stretches.push_back({i, offsets[i], 1});
    }
  }
  return stretches;
}

// The direction in which a matrix is followed through memory: the one that is broken
// into fewer stretches over the whole matrix.
struct Order {
  explicit Order(const Places& places) {
    const int64_t down = CountStretches(places.rows, places.num_rows);
    const int64_t across = CountStretches(places.columns, places.num_columns);
    goes_down = down * places.num_columns < across * places.num_rows;
    stretches = goes_down ? StretchesOf(places.rows, places.num_rows, down)
                          : StretchesOf(places.columns, places.num_columns, across);
  }
  bool goes_down;
  std::vector<Stretch> stretches;  // of rows or of columns
};

// Calls f(first row, its offset, number of rows, first column, number of columns).
template <typename Function>
void ForEachTile(const std::vector<Stretch>& down, int64_t tile_rows,
                 int64_t num_columns, const Function& f) {
  for (const Stretch& stretch : down) {
    for (int64_t r = 0; r < stretch.size; r += tile_rows) {
      for (int64_t c = 0; c < num_columns; c += kTile) {
        f(stretch.first + r, stretch.offset + r, std::min(tile_rows, stretch.size - r),
          c, std::min(kTile, num_columns - c));
      }
    }
  }
}

}  // namespace

void PackImage(const void* data, DType dtype, const Places& places,
               const Bf16Choice& choice, uint16_t* image, int64_t stride) {
  const auto round = SelectHostKernels().round;
  const auto at = [&](int64_t element) {
    return static_cast<const char*>(data) + element * NumBytes(dtype);
  };
  const Order order(places);
  if (order.goes_down) {
    ForEachTile(order.stretches, kTile, places.num_columns,
                [&](int64_t row, int64_t offset, int64_t num_rows, int64_t column,
                    int64_t num_columns) {
                  uint16_t tile[kTile][kTile];  // (columns, rows)
                  for (int64_t c = 0; c < num_columns; ++c) {
                    round(dtype, choice, at(offset + places.columns[column + c]),
                          num_rows, tile[c]);
                  }
                  Transpose(tile[0], kTile, num_columns, num_rows,
                            image + row * stride + column, stride);
                });
    return;
  }
  for (int64_t row = 0; row < places.num_rows; ++row, image += stride) {
    for (const Stretch& stretch : order.stretches) {
      round(dtype, choice, at(places.rows[row] + stretch.offset), stretch.size,
            image + stretch.first);
    }
  }
}

void UnpackImage(const float* image, int64_t stride, const Places& places, DType dtype,
                 bool past_caches, void* data) {
  const auto round = SelectHostKernels().round;
  const auto copy = [&](const void* from, int64_t num_bytes, void* to) {
    if (past_caches) return StorePastCaches(from, num_bytes, to);
    std::memcpy(to, from, num_bytes);
  };
  const auto store = [&](const float* values, int64_t size, int64_t element) {
    char* to = static_cast<char*>(data) + element * NumBytes(dtype);
    if (dtype == DType::kF32) return copy(values, size * sizeof(float), to);
    uint16_t rounded[kPieceSize];
    for (int64_t i = 0; i < size; i += kPieceSize) {
      const int64_t num = std::min(kPieceSize, size - i);
      round(DType::kF32, {0, false}, values + i, num, rounded);
      copy(rounded, num * sizeof(uint16_t), to + i * sizeof(uint16_t));
    }
  };
  const Order order(places);
  if (order.goes_down) {
    ForEachTile(order.stretches, kMaxUnpackedRows, places.num_columns,
                [&](int64_t row, int64_t offset, int64_t num_rows, int64_t column,
                    int64_t num_columns) {
                  float tile[kTile * kMaxUnpackedRows];  // (columns, rows)
                  Transpose(image + row * stride + column, stride, num_rows,
                            num_columns, tile, num_rows);
                  for (int64_t c = 0; c < num_columns; ++c) {
                    store(tile + c * num_rows, num_rows,
                          offset + places.columns[column + c]);
                  }
                });
  } else {
    for (int64_t row = 0; row < places.num_rows; ++row, image += stride) {
      for (const Stretch& stretch : order.stretches) {
        store(image + stretch.first, stretch.size, places.rows[row] + stretch.offset);
      }
    }
  }
  if (past_caches) FinishStores();
}

}  // namespace jax_npu
