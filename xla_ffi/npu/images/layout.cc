#include "xla_ffi/npu/images/layout.h"

#include <cstring>

#include "xla_ffi/npu/images/past_caches.h"
#include "xla_ffi/npu/images/transposition.h"

namespace jax_npu {
namespace {

constexpr int64_t kTileSize = kImageTile * kImageTile;
constexpr int64_t kBlockSize = kImageBlock * kImageBlock;
constexpr int64_t kTileBlocks = kImageTile / kImageBlock;  // along a side

// The place in a row-major matrix of (_, num_columns).
int64_t RowMajorPlace(int64_t num_columns, int64_t row, int64_t column) {
  return row * num_columns + column;
}

// The place in a matrix (_, num_columns) in tiles.
int64_t TiledPlace(int64_t num_columns, int64_t row, int64_t column) {
  const int64_t tile =
      RowMajorPlace(num_columns / kImageTile, row / kImageTile, column / kImageTile);
  const int64_t block = RowMajorPlace(kTileBlocks, row % kImageTile / kImageBlock,
                                      column % kImageTile / kImageBlock);
  return tile * kTileSize + block * kBlockSize +
         RowMajorPlace(kImageBlock, row % kImageBlock, column % kImageBlock);
}

void CopyBlock(const uint16_t* from, int64_t from_stride, uint16_t* to,
               int64_t to_stride) {
  for (int64_t i = 0; i < kImageBlock; ++i) {
    std::memcpy(to + i * to_stride, from + i * from_stride,
                kImageBlock * sizeof(uint16_t));
  }
}

// Copies a part of an image in tiles to rows of `columns.size`; its own columns are the
// rows if `turned`.
void CopyBlocks(const uint16_t* image, int64_t num_columns, bool turned, Range rows,
                Range columns, uint16_t* to) {
  for (int64_t i = 0; i < rows.size; i += kImageBlock) {
    for (int64_t j = 0; j < columns.size; j += kImageBlock) {
      const int64_t row = rows.first + i, column = columns.first + j;
      uint16_t* to_block = to + i * columns.size + j;
      if (turned) {
        TransposeSquare(image + TiledPlace(num_columns, column, row), kImageBlock,
                        to_block, columns.size);
      } else {
        CopyBlock(image + TiledPlace(num_columns, row, column), kImageBlock, to_block,
                  columns.size);
      }
    }
  }
}

// Returns rows whose index is k if `k_is_rows`, else the free one.
Rows Read(const OperandImage& image, bool k_is_rows, Range rows, Range columns,
          uint16_t* scratch) {
  const int64_t num_columns = image.layout.k_is_rows ? image.num_free : image.num_k;
  const bool turned = image.layout.k_is_rows != k_is_rows;
  if (image.layout.is_tiled) {
    CopyBlocks(image.data, num_columns, turned, rows, columns, scratch);
  } else if (turned) {
    for (int64_t i = 0; i < rows.size; ++i) {
      for (int64_t j = 0; j < columns.size; ++j) {
        scratch[i * columns.size + j] =
            image.data[(columns.first + j) * num_columns + rows.first + i];
      }
    }
  } else {
    return {image.data + rows.first * num_columns + columns.first, num_columns};
  }
  return {scratch, columns.size};
}

}  // namespace

int64_t PlaceOf(const ImageLayout& layout, int64_t num_free, int64_t num_k,
                int64_t free, int64_t k) {
  const auto place = layout.is_tiled ? TiledPlace : RowMajorPlace;
  return layout.k_is_rows ? place(num_free, k, free) : place(num_k, free, k);
}

Rows ReadAlongK(const OperandImage& image, Range free, Range k, uint16_t* scratch) {
  return Read(image, false, free, k, scratch);
}

Rows ReadAcrossK(const OperandImage& image, Range k, Range free, uint16_t* scratch) {
  return Read(image, true, k, free, scratch);
}

void PutInTiles(Rows rows, int64_t num_columns, uint16_t* tiles) {
  for (int64_t row = 0; row < kImageTile; row += kImageBlock) {
    for (int64_t column = 0; column < num_columns; column += kImageBlock) {
      const uint16_t* from = rows.data + row * rows.stride + column;
      uint16_t* to = tiles + TiledPlace(num_columns, row, column);
      for (int64_t i = 0; i < kImageBlock; ++i) {
        StoreVectorPastCaches(from + i * rows.stride, to + i * kImageBlock);
      }
    }
  }
  FinishStores();
}

}  // namespace jax_npu
