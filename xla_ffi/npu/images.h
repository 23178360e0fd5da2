// The images of a GEMM's operands and result: row-major matrices, padded, that the NPU
// reads and writes.

#ifndef JAX_NPU_XLA_FFI_NPU_IMAGES_H_
#define JAX_NPU_XLA_FFI_NPU_IMAGES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "xla_ffi/base/contraction.h"
#include "xla_ffi/host/gemm.h"

namespace jax_npu {

// An operand of the array's GEMM, and how its image lies. Its free dimension is m or n.
struct ImageSource {
  Operand operand;
  const Offsets &batch, &free, &k;
  std::vector<Bf16Choice> parts;  // one pass over k each
  bool k_is_rows;                 // of the image
};

// The part of an image that a run needs: all of k, and of the free dimension a range.
struct ImageWindow {
  int64_t first_batch, num_batches;
  int64_t first, size;  // of the free dimension, size with padding
  int64_t padded_k;

  size_t num_bytes() const { return num_batches * size * padded_k * sizeof(uint16_t); }
  bool operator==(const ImageWindow& other) const {
    return first_batch == other.first_batch && num_batches == other.num_batches &&
           first == other.first && size == other.size;
  }
};

void PackOperand(const ImageSource& source, const ImageWindow& window, uint16_t* image,
                 const ParallelLoop& parallel);

// Part of the result: batch entries, rows and columns from a first one on, with
// padding.
struct ResultWindow {
  int64_t first_batch, num_batches;
  int64_t first_row, num_rows;
  int64_t first_column, num_columns;

  int64_t size() const { return num_batches * num_rows * num_columns; }
};

void UnpackResult(const float* image, const ResultWindow& window,
                  const Contraction& contraction, Result out,
                  const ParallelLoop& parallel);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_IMAGES_H_
