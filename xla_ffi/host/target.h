// Where the matrix that a product writes lies.

#ifndef JAX_NPU_XLA_FFI_HOST_TARGET_H_
#define JAX_NPU_XLA_FFI_HOST_TARGET_H_

#include <cstdint>

#include "xla_ffi/host/gemm.h"
#include "xla_ffi/host/isa/kernels.h"

namespace jax_npu {

// A rectangle of the result.
struct Area {
  int64_t row, num_rows, column, num_columns;
};

// A matrix inside an array: element (i, j) is rows[i] + columns[j] from its beginning.
struct Target {
  Result out;
  const int64_t* rows;
  const int64_t* columns;
};

// The f32 values of an area where a kernel can write to them, rows `ldc` apart, else
// null.
float* InPlace(const Target& target, const Area& area, int64_t* ldc);

// Writes an area from `values`, whose rows are `ldc` apart, or adds to it.
void Store(const Target& target, const Area& area, const float* values, int64_t ldc,
           bool accumulate, const HostKernels& kernels);

// Infinity times a lower part, which may be 0 or of either sign, is not what infinity
// times the value is. The product of first parts comes last and alone decides.
void ClearNonFinite(const Target& target, const Area& area);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_TARGET_H_
