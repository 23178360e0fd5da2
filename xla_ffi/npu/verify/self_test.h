// What a new context on the NPU computes first: two products whose results are known.
//
// The first one is of small integers, so that every arithmetic gives its exact result,
// bit for bit; each core computes two tiles over several k steps. The operands of the
// second one have all their significant bits in use and one sign in each row of A and
// column of B, so that each way to round them shows in every element.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_SELF_TEST_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_SELF_TEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "xla_ffi/driver/driver.h"
#include "xla_ffi/npu/plan.h"
#include "xla_ffi/npu/verify/arithmetic.h"
#include "xla_ffi/npu/verify/known_products.h"

namespace jax_npu {

// One run of the array on a batch of two, and the arithmetic that its design was built
// for.
struct SelfTest {
  NpuPlan plan;
  std::vector<uint32_t> words;
  NpuArithmetic expected;
};

struct SelfTestResult {
  std::string mistake;                               // "" if passed
  NpuArithmetic arithmetic = NpuArithmetic::kOther;  // that the second result has
  double milliseconds = 0;
};

// What the results of the two known products, (m, n) each, say of the NPU.
SelfTestResult JudgeSelfTest(const ImageSizes& sizes, NpuArithmetic expected,
                             const float* of_integers, const float* of_rounded);

// Runs both products in one run. Throws what the driver throws.
SelfTestResult RunSelfTest(Driver& driver, const SelfTest& test);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_VERIFY_SELF_TEST_H_
