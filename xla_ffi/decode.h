// From the buffers and attributes of a custom call to what the GEMMs take. Throws
// std::invalid_argument for attributes and buffers that do not fit.

#ifndef JAX_NPU_XLA_FFI_DECODE_H_
#define JAX_NPU_XLA_FFI_DECODE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "xla_ffi/attributes.h"
#include "xla_ffi/base/contraction.h"
#include "xla_ffi/host/gemm.h"
#include "xla_ffi/npu/gemm.h"
#include "xla_ffi/npu/plan.h"

namespace jax_npu {

// The attributes keep the axes.
Loops DecodeLoops(const ProductAttributes& attributes);
Loops DecodeLoops(const PackAttributes& attributes);  // without a batch
PartPairs DecodeParts(const ProductAttributes& attributes);

Operand DecodeOperand(const ffi::AnyBuffer& buffer);
Result DecodeResult(ffi::Result<ffi::AnyBuffer>& buffer);

// Requires that a packed operand has as many words as this process packs: a program is
// compiled for the instruction set of the time of compilation.
void RequirePackedSize(const Loops& loops, bool is_lhs, size_t num_words);

NpuPlan DecodePlan(const PlanAttributes& attributes);

// The policy has no self-test where nothing is checked.
CheckPolicy DecodeCheck(const NpuAttributes& attributes);

// A hash of what makes products alike: sizes, strides, parts and types.
uint64_t ShapeOf(const ProductAttributes& attributes, const ffi::AnyBuffer& lhs,
                 const ffi::AnyBuffer& rhs, const ffi::AnyBuffer& out);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_DECODE_H_
