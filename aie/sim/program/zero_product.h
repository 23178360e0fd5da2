// Products that add nothing: padding is zeros, and most of a small GEMM is padding.

#ifndef JAX_NPU_AIE_SIM_PROGRAM_ZERO_PRODUCT_H_
#define JAX_NPU_AIE_SIM_PROGRAM_ZERO_PRODUCT_H_

#include <cstdint>

namespace jax_npu::sim {

// Whether C += A B leaves C as it is, in every arithmetic: one operand is zeros, the
// other finite, and C is positive zeros. A and B are bf16, C has `c_words` words.
bool AddsNothing(const void* a, int64_t a_size, const void* b, int64_t b_size,
                 const void* c, int64_t c_words);

// The part of k whose products C needs, of operands in tiles, A as [k/16][m/16] and B
// as [k/16][n/16], k a multiple of 16: without the tiles at the end that are +0 in A
// and B, but for the first of these. To add such a tile twice is to add it once, in
// every arithmetic: it can make -0 and denormal sums +0, and changes nothing else.
int64_t KWithoutZeroTail(const void* a, int64_t m, const void* b, int64_t n, int64_t k);

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_PROGRAM_ZERO_PRODUCT_H_
