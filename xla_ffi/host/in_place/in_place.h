// Products that would spend their time on packing: few rows or columns, dot products,
// and many small products. Their operands are read where they lie.

#ifndef JAX_NPU_XLA_FFI_HOST_IN_PLACE_IN_PLACE_H_
#define JAX_NPU_XLA_FFI_HOST_IN_PLACE_IN_PLACE_H_

#include "xla_ffi/base/contraction.h"
#include "xla_ffi/host/gemm.h"

namespace jax_npu {

// Computes the product and returns true if it is such a one. Several passes multiply
// the f32 values as they are, which reads them once and is at least as accurate.
bool MultiplyInPlace(const Axes& axes, const PartPairs& parts, Operand lhs, Operand rhs,
                     Result out, const ParallelLoop& parallel);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_IN_PLACE_IN_PLACE_H_
