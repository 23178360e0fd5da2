// The host GEMM: bf16 operands, f32 accumulation, any layout, on the CPU.

#ifndef JAX_NPU_XLA_FFI_HOST_GEMM_H_
#define JAX_NPU_XLA_FFI_HOST_GEMM_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "xla_ffi/base/contraction.h"
#include "xla_ffi/host/isa/kernels.h"

namespace jax_npu {

struct Operand {
  const void* data;
  DType dtype;
};

struct Result {
  void* data;
  DType dtype;
};

// The products that are summed: (part of lhs, part of rhs), see Strip::part. One pass
// over k each, so that higher precision is only a longer contraction.
using PartPairs = std::vector<std::pair<int, int>>;

// Calls a function for every index below a count.
struct ParallelLoop {
  int64_t num_threads;
  std::function<void(int64_t num_items, std::function<void(int64_t)>)> run;

  void operator()(int64_t num_items, const std::function<void(int64_t)>& body) const {
    if (num_threads > 1 && num_items > 1) return run(num_items, body);
    for (int64_t i = 0; i < num_items; ++i) body(i);
  }
};

inline const ParallelLoop kSerialLoop = {1, nullptr};

// Words of PackOperand's result, for an operand of so many rows, or columns.
int64_t PackedOperandWords(int64_t num_rows, int64_t num_k);

// Packs an operand for several products: the lhs or the rhs of a contraction without
// batch. What HostGemm then takes in its place is for the same contraction.
void PackOperand(const Contraction& contraction, bool is_lhs, Operand operand,
                 uint32_t* packed, const ParallelLoop& parallel);

// out = lhs rhs, summed over k and over `parts`.
void HostGemm(const Contraction& contraction, const PartPairs& parts, Operand lhs,
              Operand rhs, Result out, const ParallelLoop& parallel);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_GEMM_H_
