// The pattern that tells elements which the NPU never wrote.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_SENTINEL_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_SENTINEL_H_

#include <cstdint>
#include <string>

#include "xla_ffi/base/parallel.h"

namespace jax_npu {

// Fills c with a bit pattern that no product has: a NaN whose low bits are set.
void FillSentinel(float* c, int64_t size, const ParallelLoop& parallel = kSerialLoop);

// Describes elements that still have the pattern, or returns "".
std::string FindUnwritten(const float* c, int64_t size,
                          const ParallelLoop& parallel = kSerialLoop);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_VERIFY_SENTINEL_H_
