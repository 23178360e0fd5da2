// Products that add nothing: padding is zeros, and most of a small GEMM is padding.

#ifndef JAX_NPU_AIE_SIM_PROGRAM_ZERO_PRODUCT_H_
#define JAX_NPU_AIE_SIM_PROGRAM_ZERO_PRODUCT_H_

#include <cstdint>

namespace jax_npu::sim {

// Whether C += A B leaves C as it is, in every arithmetic: one operand is zeros, the
// other finite, and C is positive zeros. A and B are bf16, C has `c_words` words.
bool AddsNothing(const void* a, int64_t a_size, const void* b, int64_t b_size,
                 const void* c, int64_t c_words);

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_PROGRAM_ZERO_PRODUCT_H_
