// One matrix product on the host, by tiles of packed operands.

#ifndef JAX_NPU_XLA_FFI_HOST_TILES_H_
#define JAX_NPU_XLA_FFI_HOST_TILES_H_

#include <cstdint>

#include "xla_ffi/host/gemm.h"
#include "xla_ffi/host/isa/instruction_set.h"
#include "xla_ffi/host/operand.h"
#include "xla_ffi/host/result_area.h"

namespace jax_npu {

// target = lhs rhsᵀ (as Matrix holds rhs), summed over `parts`: (m, n) = (m, k) (n,
// k)ᵀ. With more than one pass, see NumPasses, the target must be f32.
void MultiplyByTiles(const HostKernels& kernels, const Matrix& lhs, const Matrix& rhs,
                     const PartPairs& parts, const Target& target,
                     const ParallelLoop& parallel);

// The number of times that a tile of the result is written: once for each chunk of k
// and each pair of parts.
int64_t NumPasses(const HostKernels& kernels, int64_t num_k, const PartPairs& parts);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_TILES_H_
