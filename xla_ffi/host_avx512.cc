#include "host_kernels.h"

namespace jax_npu {
namespace {
#include "host_pack.inc"
#include "host_tile.inc"
}  // namespace

const HostKernels kAvx512Kernels = FloatKernels<16, 12, 2>("avx512");

}  // namespace jax_npu
