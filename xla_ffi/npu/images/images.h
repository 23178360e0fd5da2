// The images of a GEMM's operands and result: padded matrices that the NPU reads and
// writes.

#ifndef JAX_NPU_XLA_FFI_NPU_IMAGES_IMAGES_H_
#define JAX_NPU_XLA_FFI_NPU_IMAGES_IMAGES_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "xla_ffi/base/contraction.h"
#include "xla_ffi/base/dtype.h"
#include "xla_ffi/driver/driver.h"
#include "xla_ffi/host/gemm.h"
#include "xla_ffi/host/isa/instruction_set.h"
#include "xla_ffi/npu/images/layout.h"

namespace jax_npu {

// An operand of the array's GEMM, in any order, and the layout of its image.
struct ImageSource {
  Operand operand;
  const Offsets &batch, &free, &k;
  std::vector<Bf16Choice> parts;  // one pass over k for each, one after the other
  ImageLayout layout;
  std::vector<int64_t> key;  // see KeyOfOperand
  int64_t execution;         // XLA's number of the execution that reads it
};

// The part of an operand that a run needs: a range of the batch, a range of the free
// dimension, and all of k. In tiles, sizes are multiples of kImageTile.
struct ImageWindow {
  int64_t first_batch, num_batches;
  int64_t first, size;  // the range of the free dimension, with padding
  int64_t padded_k;
  int64_t num_past_end;  // elements that runs read past the last of the image

  size_t num_bytes() const {
    return (num_batches * size * padded_k + num_past_end) * NumBytes(DType::kBF16);
  }
  bool operator==(const ImageWindow& other) const {
    return first_batch == other.first_batch && num_batches == other.num_batches &&
           first == other.first && size == other.size;
  }
};

// The elements past the end of an image that are read by products whose free dimension
// is either of the image's, in whole blocks of these sizes.
int64_t NumPastEnd(const ImageLayout& layout, int64_t num_free, int64_t num_k,
                   std::initializer_list<int64_t> blocks);

// The bytes that packing reads and writes. Padding is written, not read.
int64_t PackedBytes(const ImageSource& source, const ImageWindow& window);

// Rounds a window of an operand to bf16, part by part along k, and pads it with zeros,
// which also follow the image. Copies it to the device.
void PackOperandImage(const ImageSource& source, const ImageWindow& window,
                      NpuBuffer& buffer, const ParallelLoop& parallel);

// The part of the result that a run writes, padding included.
struct ResultWindow {
  int64_t first_batch, num_batches;
  int64_t first_row, num_rows;
  int64_t first_column, num_columns;

  int64_t size() const { return num_batches * num_rows * num_columns; }
};

// Whether it is worth several threads to pack or unpack so many elements.
bool IsLarge(int64_t num_elements);

// Writes a window's image, without the padding, to the program's array.
void UnpackResult(const float* image, const ResultWindow& window,
                  const Contraction& contraction, Result out,
                  const ParallelLoop& parallel);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_IMAGES_IMAGES_H_
