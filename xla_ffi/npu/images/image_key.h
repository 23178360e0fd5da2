// What tells images apart.

#ifndef JAX_NPU_XLA_FFI_NPU_IMAGES_IMAGE_KEY_H_
#define JAX_NPU_XLA_FFI_NPU_IMAGES_IMAGE_KEY_H_

#include <cstdint>
#include <vector>

#include "xla_ffi/base/contraction.h"
#include "xla_ffi/npu/images/images.h"

namespace jax_npu {

// Two images with one key are the same, bit for bit.
using ImageKey = std::vector<int64_t>;

// The loops over an operand, by their strides in it, Axis::lhs or Axis::rhs.
struct OperandLoops {
  const Loops &batch, &free, &k;
  int64_t Axis::* stride;
};

// The key of every window of an operand. It names the image's rows and columns by the
// elements that lie there, not by the part that they have in the product: an image is
// the same as A and as B, transposed or not.
//
// `value` is the number that value_numbers.h gave the operand.
ImageKey KeyOfOperand(int64_t value, const OperandLoops& loops,
                      const std::vector<Bf16Choice>& parts, const ImageLayout& layout);

// The key of one window.
ImageKey KeyOfWindow(ImageKey operand, const ImageLayout& layout,
                     const ImageWindow& window);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_IMAGES_IMAGE_KEY_H_
