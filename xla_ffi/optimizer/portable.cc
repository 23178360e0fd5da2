// AdamW's kernels with vectors of 4 f32.

#include "xla_ffi/optimizer/kernels.h"

namespace jax_npu {
namespace {
#include "xla_ffi/optimizer/kernel.inc"
}  // namespace

const AdamWKernels kPortableAdamW = kKernels;

}  // namespace jax_npu
