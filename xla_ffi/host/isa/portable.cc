#include "xla_ffi/host/isa/kernels.h"

namespace jax_npu {
namespace {
#include "xla_ffi/host/isa/floats.inc"
}  // namespace

const HostKernels kPortableKernels = FloatKernels<4, 2, 1>("portable");

}  // namespace jax_npu
