#include "xla_ffi/host/isa/kernels.h"

namespace jax_npu {
namespace {
#include "xla_ffi/host/isa/floats.inc"
}  // namespace

const HostKernels kAvx512Kernels = FloatKernels<16, 8, 3>("avx512");

}  // namespace jax_npu
