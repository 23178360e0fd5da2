#include "host_kernels.h"

namespace jax_npu {
namespace {
#include "host_floats.inc"
}  // namespace

const HostKernels kAvx2Kernels = FloatKernels<8, 4, 1>("avx2");

}  // namespace jax_npu
