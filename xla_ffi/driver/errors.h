// The texts of the driver's errors: the cause, and what a user can do about it.

#ifndef JAX_NPU_XLA_FFI_DRIVER_ERRORS_H_
#define JAX_NPU_XLA_FFI_DRIVER_ERRORS_H_

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>

namespace jax_npu {

// What the driver was asked for when it failed.
enum class Doing {
  kOpening,
  kMakingContext,
  kMakingBuffer,
  kCopying,
  kStarting,
  kRunning
};

// The remedy for an errno of the kernel's driver.
inline std::string Remedy(Doing doing, int code) {
  switch (code) {
    case ENODEV:
    case ENXIO:
      return "the NPU is gone; reload its driver with 'sudo modprobe -r amdxdna && "
             "sudo modprobe amdxdna' or restart the machine, and see 'jax-npu doctor'; "
             "the next product opens it again";
    case ENOENT:
      return "the NPU took the context away for another program; close other programs "
             "that use it";
    case ENOMEM:
    case EAGAIN:
      return "the memory that may be locked is used up; raise it with 'ulimit -l "
             "unlimited', see 'jax-npu doctor'";
    case EINVAL:
      if (doing != Doing::kMakingContext) {
        return "the kernel's driver does not take what XRT asks for: one is too old "
               "for "
               "the other; update both, see 'jax-npu doctor'";
      }
      return "all contexts of the NPU may be taken, or the design is for another chip; "
             "close other programs that use it, and see 'jax-npu doctor'";
    case EBUSY:
      return "another program holds the NPU; close other programs that use it";
    case ETIME:
      return "the array did not finish in the time that the kernel's driver allows; "
             "another design or program may hang, see dmesg";
    case ETIMEDOUT:
      return "the NPU's firmware does not answer; reload its driver with 'sudo "
             "modprobe "
             "-r amdxdna && sudo modprobe amdxdna' or restart the machine";
    case EOPNOTSUPP:
      return "the kernel's driver does not know this request, or cannot use the IOMMU; "
             "it takes a newer kernel, see 'jax-npu doctor'";
    case EACCES:
    case EPERM:
      return "the device may not be opened; add yourself to the group render, see "
             "'jax-npu doctor'";
    default:
      return "see 'jax-npu doctor' and dmesg";
  }
}

// For a machine whose NPU cannot be opened, after XRT's own cause.
constexpr char kDeviceRemedy[] =
    "; the NPU needs Linux 6.14 or newer with the driver amdxdna, and a user in the "
    "group render: see 'jax-npu doctor'";

// For a run that did not complete, after its state.
constexpr char kRunRemedy[] = "; look into dmesg, and see 'jax-npu doctor'";

inline std::string NoKernelMessage(const std::string& design, const char* kernel) {
  return design + " has no kernel " + kernel +
         "; build the design with 'jax-npu build'";
}

inline std::string SecondDesignMessage(const std::string& opened, const char* design) {
  return "this process runs the design " + opened + " and cannot load " + design +
         " too; use one device in a process";
}

// Whether an errno says that there is no device any more.
inline bool IsOfLostDevice(int code) { return code == ENODEV || code == ENXIO; }

// Calls the function. What it throws becomes a std::runtime_error that begins with
// `failure`, and ends with a remedy where the kernel's driver gave an errno. Sets
// `is_lost` if that says that there is no device any more.
template <typename Function>
auto Attempt(Doing doing, const char* failure, std::atomic<bool>& is_lost,
             const Function& function) -> decltype(function()) {
  try {
    return function();
  } catch (const std::system_error& error) {
    if (IsOfLostDevice(std::abs(error.code().value()))) is_lost = true;
    throw std::runtime_error(std::string(failure) + ": " + error.what() + "; " +
                             Remedy(doing, std::abs(error.code().value())));
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string(failure) + ": " + error.what());
  }
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_DRIVER_ERRORS_H_
