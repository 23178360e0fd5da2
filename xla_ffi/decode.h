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

// The loops over arrays of these sizes, all in row-major order. For the packing of an
// operand, without a batch.
Axes DecodeAxes(const ProductAttributes& attributes, const ffi::AnyBuffer& lhs,
                const ffi::AnyBuffer& rhs, const ffi::AnyBuffer& out);
Axes DecodeAxes(const PackAttributes& attributes, const ffi::AnyBuffer& operand);

// At least one pair, each of parts that a value has.
PartPairs DecodeParts(const ProductAttributes& attributes);

Operand DecodeOperand(const ffi::AnyBuffer& buffer);
// An operand of the host GEMM, which may be packed. A packed one must have as many
// words as this process packs: a program is compiled for the instruction set of the
// time of compilation.
Operand DecodeOperand(const ffi::AnyBuffer& buffer, bool is_lhs, const Axes& axes,
                      const PartPairs& parts);
Result DecodeResult(ffi::Result<ffi::AnyBuffer>& buffer);

void RequirePackedSize(const Axes& axes, bool is_lhs, size_t num_words);

NpuPlan DecodePlan(const PlanAttributes& attributes);

// The policy has no self-test where nothing is checked.
CheckPolicy DecodeCheck(const NpuAttributes& attributes);

// A hash of what makes products alike: labels, parts, sizes and types.
uint64_t ShapeOf(const ProductAttributes& attributes, const ffi::AnyBuffer& lhs,
                 const ffi::AnyBuffer& rhs, const ffi::AnyBuffer& out);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_DECODE_H_
