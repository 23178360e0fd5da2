// How long the driver waits for a run.

#ifndef JAX_NPU_XLA_FFI_DRIVER_TIME_LIMIT_H_
#define JAX_NPU_XLA_FFI_DRIVER_TIME_LIMIT_H_

#include <chrono>
#include <cstdint>

#include "xla_ffi/base/environment.h"

namespace jax_npu {

// The time after which a run is given up: $JAX_NPU_WATCHDOG_SECONDS or its default.
// Throws std::runtime_error for another value than a time that XRT takes; for 0 it
// would wait forever.
inline std::chrono::milliseconds MaxRunTime() {
  const double seconds =
      ReadNumber(kWatchdogVariable, kDefaultWatchdogSeconds, 0.001, 1e6);
  return std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds));
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_DRIVER_TIME_LIMIT_H_
