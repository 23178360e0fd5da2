// The types of a product's operands and result, and the sizes of their elements.

#ifndef JAX_NPU_XLA_FFI_BASE_DTYPE_H_
#define JAX_NPU_XLA_FFI_BASE_DTYPE_H_

#include <cstdint>

namespace jax_npu {

enum class DType {
  kF32,
  kBF16,    // the upper half of an f32, kept as uint16_t
  kPacked,  // a whole operand as the host's kernels take it, see PackOperand
};

// Bytes of one element of an array that is not packed. Static, so that each file has a
// copy of its own: files for different instruction sets include this header.
static constexpr int64_t NumBytes(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_BASE_DTYPE_H_
