// A GEMM on the NPU: packs images of the operands, runs the array's instruction
// streams, checks and unpacks the result.

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

// Which results are checked, and what they are compared with. If one is wrong, or the
// NPU is not to be trusted, the host computes the product; with `strict` it is an
// error. Checks of stand-ins, which a paced virtual NPU leaves, take the host's time
// like any other, and find nothing.
struct CheckPolicy {
  CheckMode mode;
  bool strict;
  NpuArithmetic expected;
  std::shared_ptr<const SelfTest> self_test;  // for new contexts; null for no test
  bool stand_ins = false;
};

// out = lhs rhs, summed over k and over `parts`; `words` are the instructions of all
// runs, one after the other.
struct NpuGemmRequest {
  NpuPlan plan;
  std::vector<uint32_t> words;
  Contraction contraction;
  PartPairs parts;
  Operand lhs, rhs;
  int64_t lhs_value, rhs_value;  // their numbers, see value_numbers.h
  int64_t execution;             // XLA's number of this execution of the program
  Result out;
  CheckPolicy check;
  // A hash of the product's sizes, types and orders: the first run of each is checked.
  uint64_t shape;
  const char* backend;
};

// Packs on the caller's threads and returns. Later `done` is called once, from any
// thread: with null when the result is complete, or with the error. Operands and result
// must stay valid until then.
void NpuGemm(Driver& driver, NpuGemmRequest request, const ParallelLoop& parallel,
             std::function<void(std::exception_ptr)> done);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_GEMM_H_
