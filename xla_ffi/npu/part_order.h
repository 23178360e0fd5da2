// The order in which the products of bf16 parts are summed along k.

#ifndef JAX_NPU_XLA_FFI_NPU_PART_ORDER_H_
#define JAX_NPU_XLA_FFI_NPU_PART_ORDER_H_

#include "xla_ffi/base/contraction.h"
#include "xla_ffi/host/gemm.h"

namespace jax_npu {

// Puts the product of first parts, which the caller gives last, where it must be: last
// is most accurate, since the small products are summed first. But where a sum of lower
// products may overflow, it comes first: an infinity of the wrong sign would stay.
PartPairs OrderParts(PartPairs parts, const Contraction& contraction, Operand lhs,
                     Operand rhs);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_PART_ORDER_H_
