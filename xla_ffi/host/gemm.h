// The host GEMM: bf16 operands, f32 accumulation, any layout, on the CPU.

#ifndef JAX_NPU_XLA_FFI_HOST_GEMM_H_
#define JAX_NPU_XLA_FFI_HOST_GEMM_H_

#include <cstdint>

#include "xla_ffi/base/contraction.h"
#include "xla_ffi/base/dtype.h"
#include "xla_ffi/base/parallel.h"

namespace jax_npu {

struct Operand {
  const void* data;
  DType dtype;
};

struct Result {
  void* data;
  DType dtype;
};

// Shorter loops over memory are not worth another thread, in elements.
constexpr int64_t kMinParallelElements = 1 << 17;

// The number of words that PackOperand writes for a lhs (num_rows, num_k), or for a rhs
// (num_k, num_rows).
int64_t PackedOperandWords(int64_t num_rows, int64_t num_k);

// Packs the lhs or the rhs of a contraction without a batch, once for several products.
// HostGemm takes the result in the operand's place, for the same contraction only.
void PackOperand(const Axes& axes, bool is_lhs, Operand operand, uint32_t* packed,
                 const ParallelLoop& parallel);

// out = lhs rhs, summed over k and over `parts`. A product that reads its operands in
// place is faster from its axes: offsets of every index take memory, too.
void HostGemm(const Axes& axes, const PartPairs& parts, Operand lhs, Operand rhs,
              Result out, const ParallelLoop& parallel);
void HostGemm(const Contraction& contraction, const PartPairs& parts, Operand lhs,
              Operand rhs, Result out, const ParallelLoop& parallel);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_GEMM_H_
