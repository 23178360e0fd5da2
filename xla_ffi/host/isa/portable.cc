// The kernels for any CPU: 4 lanes of f32, register tiles of 2 rows and one panel.

#include "xla_ffi/host/isa/instruction_set.h"

namespace jax_npu {
namespace {
#include "xla_ffi/host/isa/floats.inc"
}  // namespace

const HostKernels kPortableKernels = FloatKernels<4, 2, 1>("portable");

}  // namespace jax_npu
