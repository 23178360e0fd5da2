// AdamW's update of one parameter in one pass over memory.
//
// optax makes it several elementwise operations, and XLA:CPU writes one result in a
// loop, so that both moments and the parameter are three loops that read each other's
// results.

#ifndef JAX_NPU_XLA_FFI_OPTIMIZER_ADAMW_H_
#define JAX_NPU_XLA_FFI_OPTIMIZER_ADAMW_H_

#include "xla_ffi/base/parallel.h"
#include "xla_ffi/optimizer/kernels.h"

namespace jax_npu {

// Updates all of a parameter and its moments, on several threads. Results depend on
// neither their number nor the instruction set. Throws std::invalid_argument if
// JAX_NPU_HOST_ISA names none of this CPU.
void AdamW(const AdamWJob& job, const AdamWKind& kind, const AdamWScalars& scalars,
           const ParallelLoop& parallel);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_OPTIMIZER_ADAMW_H_
