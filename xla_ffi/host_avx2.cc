#include "host_kernels.h"

namespace jax_npu {
namespace {
#include "host_pack.inc"
#include "host_tile.inc"
}  // namespace

const HostKernels kAvx2Kernels = FloatKernels<8, 6, 2>("avx2");

}  // namespace jax_npu
