// Products that the host computes in place of the NPU.

#ifndef JAX_NPU_XLA_FFI_NPU_FALLBACK_H_
#define JAX_NPU_XLA_FFI_NPU_FALLBACK_H_

#include <exception>
#include <string>

#include "xla_ffi/host/gemm.h"
#include "xla_ffi/npu/gemm.h"

namespace jax_npu {

// Both return null or the error. Where the request is strict, nothing is computed and
// the reason is the error.

// For an NPU that is not to be trusted.
std::exception_ptr ComputeOnHost(const NpuGemmRequest& request,
                                 const std::string& problem,
                                 const ParallelLoop& parallel);

// For a result that a check found wrong; prints the mistake.
std::exception_ptr RecomputeOnHost(const NpuGemmRequest& request,
                                   const std::string& mistake);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_FALLBACK_H_
