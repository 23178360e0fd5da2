// How long the driver waits for a run.

#ifndef JAX_NPU_XLA_FFI_DRIVER_TIME_LIMIT_H_
#define JAX_NPU_XLA_FFI_DRIVER_TIME_LIMIT_H_

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "xla_ffi/base/environment.h"

namespace jax_npu {

// The time after which a run is given up: $JAX_NPU_WATCHDOG_SECONDS or its default.
// Throws std::runtime_error for another value than a time that XRT takes; for 0 it
// would wait forever.
inline std::chrono::milliseconds MaxRunTime() {
  double seconds = kDefaultWatchdogSeconds;
  if (const char* text = ReadVariable(kWatchdogVariable)) {
    char* end = nullptr;
    seconds = std::strtod(text, &end);
    if (*end != '\0' || !(seconds >= 0.001 && seconds <= 1e6)) {
      throw std::runtime_error(std::string(kWatchdogVariable) +
                               " must be a number from 0.001 to 1000000, got '" + text +
                               "'; correct or unset it");
    }
  }
  return std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds));
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_DRIVER_TIME_LIMIT_H_
