// The NPU as the code above it sees it: buffers, and streams that run on them.
//
// driver.cc implements this on XRT. Compiled against the real one and against the
// virtual one of aie/sim, it makes two libraries with the same one symbol, which the
// extension opens at run time: one extension serves machines with and without an NPU.

#ifndef JAX_NPU_XLA_FFI_DRIVER_H_
#define JAX_NPU_XLA_FFI_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <mutex>

namespace jax_npu {

// One device with one design loaded. All but the mutex throws std::runtime_error with
// the cause and a remedy; after a failed run the next call opens the device anew.
class Driver {
 public:
  virtual ~Driver() = default;

  // Held from the first Buffer of a run to the last read of its results.
  std::mutex mutex;

  // Host memory of a run's argument, aligned to a page, with room for that many bytes
  // and any content. Valid until the next call for this argument.
  virtual std::byte* Buffer(int argument, size_t num_bytes) = 0;

  // The host's and the device's memory of an argument are two: these copy its first
  // bytes.
  virtual void SyncToDevice(int argument, size_t num_bytes) = 0;
  virtual void SyncFromDevice(int argument, size_t num_bytes) = 0;

  // Runs a stream of instruction words on the latest buffers of arguments 0 to
  // num_arguments - 1; Wait returns when it has completed.
  virtual void Start(const uint32_t* words, size_t num_words, int num_arguments) = 0;
  virtual void Wait() = 0;
};

using OpenDriverFunction = Driver*(const char* design_path);

// The driver of a library and a design; each is opened once a process and stays.
Driver& OpenDriver(const char* library_path, const char* design_path);

}  // namespace jax_npu

// What a driver library exports.
extern "C" jax_npu::OpenDriverFunction jax_npu_open_driver;

#endif  // JAX_NPU_XLA_FFI_DRIVER_H_
