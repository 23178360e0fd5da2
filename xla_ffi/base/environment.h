// The environment variables that the C++ of xla_ffi reads, with their defaults.
// jax_npu/runtime/environment.py lists them for users, with those that Python reads.

#ifndef JAX_NPU_XLA_FFI_BASE_ENVIRONMENT_H_
#define JAX_NPU_XLA_FFI_BASE_ENVIRONMENT_H_

#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

namespace jax_npu {

// Names the instruction set of the host GEMM. Default: the fastest one of this CPU.
// Read at every product.
constexpr char kHostIsaVariable[] = "JAX_NPU_HOST_ISA";

// Seconds after which a run that the device does not end is given up. Read when the
// driver opens. The device itself ends a run after 2 s; the default is longer, because
// the virtual NPU computes on the host.
constexpr char kWatchdogVariable[] = "JAX_NPU_WATCHDOG_SECONDS";
constexpr double kDefaultWatchdogSeconds = 120;

// MB (2^20 bytes) of images that are kept for other products of the same values; 0
// keeps none. Read at every product.
constexpr char kImageCacheVariable[] = "JAX_NPU_IMAGE_CACHE_MB";
constexpr int64_t kDefaultImageCacheMb = 512;

// The value of a variable, or null where it is unset or empty.
inline const char* ReadVariable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? nullptr : value;
}

// The number that a variable holds, or the default where it is unset. Throws
// std::runtime_error for another value than a number in that range.
inline double ReadNumber(const char* name, double default_value, double smallest,
                         double largest) {
  const char* text = ReadVariable(name);
  if (text == nullptr) return default_value;
  char* end = nullptr;
  const double number = std::strtod(text, &end);
  if (*end == '\0' && number >= smallest && number <= largest) return number;
  std::ostringstream message;
  message.precision(10);
  message << name << " must be a number from " << smallest << " to " << largest
          << ", got '" << text << "'; correct or unset it";
  throw std::runtime_error(message.str());
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_BASE_ENVIRONMENT_H_
