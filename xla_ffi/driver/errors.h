// How the driver tells what failed: the cause, and what a user can do about it.

#ifndef JAX_NPU_XLA_FFI_DRIVER_ERRORS_H_
#define JAX_NPU_XLA_FFI_DRIVER_ERRORS_H_

#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>

namespace jax_npu {

// What to do about an errno of the kernel's driver.
inline std::string Remedy(int code) {
  switch (code) {
    case ENODEV:
    case ENXIO:
      return "the NPU is gone; reload its driver with 'sudo modprobe -r amdxdna && "
             "sudo "
             "modprobe amdxdna' or restart the machine, and see 'jax-npu doctor'";
    case ENOENT:
      return "the NPU took the context away for another program; close other programs "
             "that use it";
    case ENOMEM:
    case EAGAIN:
      return "the memory that may be locked is used up; raise it with 'ulimit -l "
             "unlimited', see 'jax-npu doctor'";
    case EINVAL:
      return "all contexts of the NPU may be taken, or the design is for another chip; "
             "close other programs that use it, and see 'jax-npu doctor'";
    case EACCES:
    case EPERM:
      return "the device may not be opened; add yourself to the group render, see "
             "'jax-npu doctor'";
    default:
      return "see 'jax-npu doctor' and dmesg";
  }
}

// Calls the function; what it throws is told as a failure of `what`.
template <typename Function>
auto Attempt(const char* what, const Function& function) -> decltype(function()) {
  try {
    return function();
  } catch (const std::system_error& error) {
    throw std::runtime_error(std::string(what) + ": " + error.what() + "; " +
                             Remedy(std::abs(error.code().value())));
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string(what) + ": " + error.what());
  }
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_DRIVER_ERRORS_H_
