// How an operand's image lies, and access to its elements.

#ifndef JAX_NPU_XLA_FFI_NPU_IMAGES_LAYOUT_H_
#define JAX_NPU_XLA_FFI_NPU_IMAGES_LAYOUT_H_

#include <cstdint>

namespace jax_npu {

// The sides of a tile and of the blocks in it. A matrix (rows, columns) in tiles is
//   [rows / 16][columns / 16][2][2][8][8].
constexpr int64_t kImageTile = 16, kImageBlock = 8;

// The free dimension is m for A and n for B.
struct ImageLayout {
  bool k_is_rows;  // the image is (k, free), else (free, k)
  bool is_tiled;   // the image is in tiles, else row-major
};

// The image of one matrix in bf16. In tiles, both sizes are multiples of kImageTile.
struct OperandImage {
  const uint16_t* data;
  int64_t num_free, num_k;
  ImageLayout layout;
};

// The place of an element in an image of these sizes.
int64_t PlaceOf(const ImageLayout& layout, int64_t num_free, int64_t num_k,
                int64_t free, int64_t k);

struct Range {
  int64_t first, size;
};

// Row-major elements: row i begins at data + i * stride.
struct Rows {
  const uint16_t* data;
  int64_t stride;
};

// Returns a part of an image as rows along k, (free, k), or across it, (k, free). They
// are in the image if it lies so, else copied to `scratch`, which has place for them.
// In tiles, the ranges consist of whole blocks.
Rows ReadAlongK(const OperandImage& image, Range free, Range k, uint16_t* scratch);
Rows ReadAcrossK(const OperandImage& image, Range k, Range free, uint16_t* scratch);

// Puts kImageTile rows into tiles that follow each other and begin at a multiple of 16
// bytes. Stores them past the caches where the CPU can (on x86-64): what lies in a
// cache takes the CPU far longer to flush than what does not.
void PutInTiles(Rows rows, int64_t num_columns, uint16_t* tiles);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_IMAGES_LAYOUT_H_
