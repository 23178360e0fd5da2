// One matrix product on the host, by tiles of packed operands.

#ifndef JAX_NPU_XLA_FFI_HOST_TILES_H_
#define JAX_NPU_XLA_FFI_HOST_TILES_H_

#include <cstdint>

#include "contraction.h"
#include "host_gemm.h"
#include "host_kernels.h"
#include "host_target.h"

namespace jax_npu {

// A matrix inside an operand: its rows (or columns) by contracted indices.
struct Matrix {
  const void* data;
  DType dtype;
  const Offsets* rows;
  const Offsets* ks;

  int64_t num_rows() const { return static_cast<int64_t>(rows->size()); }
  int64_t num_k() const { return static_cast<int64_t>(ks->size()); }
};

// Of a whole matrix: every chunk of k, one after the other.
int64_t PackedMatrixWords(const HostKernels& kernels, int64_t num_rows, int64_t num_k);
void PackMatrix(const HostKernels& kernels, const Matrix& matrix, bool is_lhs,
                uint32_t* packed, const ParallelLoop& parallel);

// target = lhs rhs, summed over `parts`; of several, or where k takes several passes,
// the target must be f32.
void MultiplyByTiles(const HostKernels& kernels, const Matrix& lhs, const Matrix& rhs,
                     const PartPairs& parts, const Target& target,
                     const ParallelLoop& parallel);

// How often a tile of the result is written.
int64_t NumPasses(const HostKernels& kernels, int64_t num_k, const PartPairs& parts);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_TILES_H_
