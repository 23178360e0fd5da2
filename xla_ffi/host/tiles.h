// One matrix product on the host, by tiles of packed operands.

#ifndef JAX_NPU_XLA_FFI_HOST_TILES_H_
#define JAX_NPU_XLA_FFI_HOST_TILES_H_

#include <cstdint>

#include "xla_ffi/host/gemm.h"
#include "xla_ffi/host/isa/kernels.h"
#include "xla_ffi/host/operand.h"
#include "xla_ffi/host/target.h"

namespace jax_npu {

// target = lhs rhs, summed over `parts`; of several, or where k takes several passes,
// the target must be f32.
void MultiplyByTiles(const HostKernels& kernels, const Matrix& lhs, const Matrix& rhs,
                     const PartPairs& parts, const Target& target,
                     const ParallelLoop& parallel);

// How often a tile of the result is written.
int64_t NumPasses(const HostKernels& kernels, int64_t num_k, const PartPairs& parts);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_TILES_H_
