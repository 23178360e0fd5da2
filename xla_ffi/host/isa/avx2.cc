#include "xla_ffi/host/isa/kernels.h"

namespace jax_npu {
namespace {
#include "xla_ffi/host/isa/floats.inc"
}  // namespace

const HostKernels kAvx2Kernels = FloatKernels<8, 4, 1>("avx2");

}  // namespace jax_npu
