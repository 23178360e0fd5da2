// The products in place, one function each; in_place.cc chooses among them.

#ifndef JAX_NPU_XLA_FFI_HOST_IN_PLACE_PRODUCTS_H_
#define JAX_NPU_XLA_FFI_HOST_IN_PLACE_PRODUCTS_H_

#include "xla_ffi/host/gemm.h"
#include "xla_ffi/host/in_place/loops.h"

namespace jax_npu {

// For each thread, so that all end at about the same time.
constexpr int64_t kItemsPerThread = 4;

// One row and one column in each entry of the batch, if its vectors are runs or the
// entries are; else returns false.
bool MultiplyDots(const InPlace& product, const ParallelLoop& parallel);

// At most kFewRows rows of lhs.
void MultiplyRows(const InPlace& product, const ParallelLoop& parallel);

// Whether the product's entries are small enough for MultiplySmall.
bool IsSmall(int64_t m, int64_t k, int64_t n);
void MultiplySmall(const InPlace& product, const ParallelLoop& parallel);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_IN_PLACE_PRODUCTS_H_
