// The self-test of a new context on the NPU: two products whose results are known.
//
// The first is of small integers, so that every arithmetic gives the exact result, bit
// for bit; each core computes two tiles over several k steps. The operands of the
// second use all their significant bits and have one sign in each row of A and column
// of B, so that each way to round them shows in every element.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_SELF_TEST_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_SELF_TEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "xla_ffi/driver/driver.h"
#include "xla_ffi/npu/verify/arithmetic.h"
#include "xla_ffi/npu/verify/known_products.h"

namespace jax_npu {

// One run of the array, on the two products as a batch.
struct SelfTest {
  ImageSizes sizes;             // of each of the two products
  std::vector<uint32_t> words;  // the run's instructions
  NpuArithmetic expected;       // that the design was built for
};

struct SelfTestResult {
  std::string mistake;                               // "" if passed
  NpuArithmetic arithmetic = NpuArithmetic::kOther;  // found in the second result
  double milliseconds = 0;
};

// Judges the NPU by its results of the two known products, (m, n) each.
SelfTestResult JudgeSelfTest(const ImageSizes& sizes, NpuArithmetic expected,
                             const float* of_integers, const float* of_rounded);

// Runs both products in one run. Throws what the driver throws.
SelfTestResult RunSelfTest(Driver& driver, const SelfTest& test);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_VERIFY_SELF_TEST_H_
