#include "host_kernels.h"

namespace jax_npu {
namespace {
#include "host_floats.inc"
}  // namespace

const HostKernels kPortableKernels = FloatKernels<4, 2, 1>("portable");

}  // namespace jax_npu
