// The kernels for AVX-512 without bf16 instructions: 16 lanes of f32, register tiles of
// 8 rows and three panels.

#include "xla_ffi/host/isa/instruction_set.h"

namespace jax_npu {
namespace {
#include "xla_ffi/host/isa/floats.inc"
}  // namespace

const HostKernels kAvx512Kernels = FloatKernels<16, 8, 3>("avx512");

}  // namespace jax_npu
