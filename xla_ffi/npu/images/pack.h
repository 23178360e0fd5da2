// Copies between a program's arrays, which lie in any order, and the row-major images
// that the NPU reads and writes.

#ifndef JAX_NPU_XLA_FFI_NPU_IMAGES_PACK_H_
#define JAX_NPU_XLA_FFI_NPU_IMAGES_PACK_H_

#include <cstdint>

#include "xla_ffi/host/isa/instruction_set.h"

namespace jax_npu {

// A matrix inside an array: element (i, j) lies rows[i] + columns[j] elements from the
// array's beginning.
struct Places {
  const int64_t* rows;
  int64_t num_rows;
  const int64_t* columns;
  int64_t num_columns;
};

// image[i * stride + j] = the bf16 that stands for element (i, j).
void PackImage(const void* data, DType dtype, const Places& places,
               const Bf16Choice& choice, uint16_t* image, int64_t stride);

// Rows of an image that are put together where columns lie across memory.
constexpr int64_t kMaxUnpackedRows = 128;

// Element (i, j) = image[i * stride + j], rounded to nearest even if the array is bf16.
// The elements are stored past the caches on demand.
void UnpackImage(const float* image, int64_t stride, const Places& places, DType dtype,
                 bool past_caches, void* data);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_IMAGES_PACK_H_
