// The matrix that a product writes, in the program's array.

#ifndef JAX_NPU_XLA_FFI_HOST_RESULT_AREA_H_
#define JAX_NPU_XLA_FFI_HOST_RESULT_AREA_H_

#include <cstdint>

#include "xla_ffi/host/gemm.h"
#include "xla_ffi/host/isa/instruction_set.h"

namespace jax_npu {

// A rectangle of the result.
struct Area {
  int64_t row, num_rows, column, num_columns;
};

// A matrix inside an array: element (i, j) lies rows[i] + columns[j] elements from the
// array's beginning.
struct Target {
  Result out;
  const int64_t* rows;
  const int64_t* columns;
};

// The address of an area's f32 values if a kernel can write them where they lie, with
// rows `*ldc` apart; else null.
float* InPlace(const Target& target, const Area& area, int64_t* ldc);

// Writes `values`, with rows `ldc` apart, to an area, or adds them to it.
void Store(const Target& target, const Area& area, const float* values, int64_t ldc,
           bool accumulate, const HostKernels& kernels);

// Replaces sums that are not finite with 0, before the product of first parts, which
// comes last, is added. Infinity times a lower part, which may be 0 or of either sign,
// is not infinity times the value; so the product of first parts alone must decide.
void ClearNonFinite(const Target& target, const Area& area);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_RESULT_AREA_H_
