// A GEMM on the NPU: packs images of the operands, runs streams, unpacks the result.

#ifndef JAX_NPU_XLA_FFI_NPU_GEMM_H_
#define JAX_NPU_XLA_FFI_NPU_GEMM_H_

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <vector>

#include "xla_ffi/base/contraction.h"
#include "xla_ffi/driver/driver.h"
#include "xla_ffi/host/gemm.h"
#include "xla_ffi/npu/plan.h"
#include "xla_ffi/npu/verify/health.h"
#include "xla_ffi/npu/verify/self_test.h"

namespace jax_npu {

// Which results are checked, and against what. Where one is wrong, or the NPU is not to
// be trusted, the host computes the product, or with `strict` it is an error.
struct CheckPolicy {
  CheckMode mode;
  bool strict;
  NpuArithmetic expected;
  std::shared_ptr<const SelfTest> self_test;  // of a new context; null: none
};

// out = lhs rhs, summed over k and over `parts`; `words` are the instructions of all
// runs, one after the other.
struct NpuGemmRequest {
  NpuPlan plan;
  std::vector<uint32_t> words;
  Contraction contraction;
  PartPairs parts;
  Operand lhs, rhs;
  Result out;
  CheckPolicy check;
  // Stands for the product's sizes, types and orders: the first of each is checked.
  uint64_t shape;
  const char* backend;
};

// Packs on the caller's threads and returns; `done` is called once, from any thread,
// when the result is there or with what went wrong. Operands and result must stay until
// then.
void NpuGemm(Driver& driver, NpuGemmRequest request, const ParallelLoop& parallel,
             std::function<void(std::exception_ptr)> done);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_GEMM_H_
