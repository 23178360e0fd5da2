// The environment variables that the C++ of xla_ffi reads, with their defaults.
// jax_npu/runtime/environment.py lists them for users, with those that Python reads.

#ifndef JAX_NPU_XLA_FFI_BASE_ENVIRONMENT_H_
#define JAX_NPU_XLA_FFI_BASE_ENVIRONMENT_H_

#include <cstdlib>

namespace jax_npu {

// Names the instruction set of the host GEMM. Default: the fastest one of this CPU.
// Read at every product.
constexpr char kHostIsaVariable[] = "JAX_NPU_HOST_ISA";

// Seconds after which a run that the device does not end is given up. Read when the
// driver opens. The device itself ends a run after 2 s; the default is longer, because
// the virtual NPU computes on the host.
constexpr char kWatchdogVariable[] = "JAX_NPU_WATCHDOG_SECONDS";
constexpr double kDefaultWatchdogSeconds = 120;

// The value of a variable, or null where it is unset or empty.
inline const char* ReadVariable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? nullptr : value;
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_BASE_ENVIRONMENT_H_
