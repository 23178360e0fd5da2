#include "host_kernels.h"

namespace jax_npu {
namespace {
#include "host_floats.inc"
}  // namespace

const HostKernels kAvx512Kernels = FloatKernels<16, 8, 3>("avx512");

}  // namespace jax_npu
