// The kernels for AVX2 and FMA: 8 lanes of f32, register tiles of 4 rows and one panel.

#include "xla_ffi/host/isa/instruction_set.h"

namespace jax_npu {
namespace {
#include "xla_ffi/host/isa/floats.inc"
}  // namespace

const HostKernels kAvx2Kernels = FloatKernels<8, 4, 1>("avx2");

}  // namespace jax_npu
