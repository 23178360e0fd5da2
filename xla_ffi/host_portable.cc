#include "host_kernels.h"

namespace jax_npu {
namespace {
#include "host_pack.inc"
#include "host_tile.inc"
}  // namespace

const HostKernels kPortableKernels = FloatKernels<4, 4, 2>("portable");

}  // namespace jax_npu
