// The NPU as the code above it sees it: buffers, and streams that run on them.
//
// driver.cc implements this on XRT. Compiled against the real one and against the
// virtual one of aie/sim, it makes two libraries with the same symbols, which the
// extension opens at run time: one extension serves machines with and without an NPU.
// What fails is thrown as std::runtime_error with the cause and a remedy; nothing here
// tries again: npu/queue.h does.

#ifndef JAX_NPU_XLA_FFI_DRIVER_DRIVER_H_
#define JAX_NPU_XLA_FFI_DRIVER_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace jax_npu {

// Memory of a run's argument: the host's and the device's, which are two. One thread
// uses it at a time.
class NpuBuffer {
 public:
  virtual ~NpuBuffer() = default;

  // The host's memory, aligned to a page, with any content at first. A Start may move
  // it, content and all.
  virtual std::byte* data() = 0;

  // Copies of the first bytes.
  virtual void SyncToDevice(size_t num_bytes) = 0;
  virtual void SyncFromDevice(size_t num_bytes) = 0;
};

// A stream of instruction words and the buffers that it runs on, argument by argument.
struct Invocation {
  const uint32_t* words;
  size_t num_words;
  std::vector<std::shared_ptr<NpuBuffer>> arguments;
};

// One device with one design loaded. Threads may allocate at any time; one thread at a
// time starts, waits and resets.
class Driver {
 public:
  virtual ~Driver() = default;

  // A buffer for that argument of runs. What it holds goes back to a pool with it.
  virtual std::shared_ptr<NpuBuffer> Allocate(int argument, size_t num_bytes) = 0;

  // Submits the runs as one command, which executes them in order; Wait returns when
  // they have completed. At most kMaxCommands at a time, of at most kMaxRuns.
  virtual int64_t Start(const std::vector<Invocation>& runs) = 0;
  virtual void Wait(int64_t command) = 0;

  // Gives up what was started and the context, which after a failure may never work
  // again. The next call opens another one; buffers stay valid.
  virtual void Reset() = 0;
};

constexpr size_t kMaxCommands = 4;
constexpr size_t kMaxRuns = 24;

using OpenDriverFunction = Driver*(const char* design_path);

// The driver of a library and a design; each is opened once a process and stays.
Driver& OpenDriver(const char* library_path, const char* design_path);

}  // namespace jax_npu

// What a driver library exports.
extern "C" {
jax_npu::OpenDriverFunction jax_npu_open_driver;
// Null where there is an NPU, else why none can be opened, until the thread's next
// call.
const char* jax_npu_device_error();
}

#endif  // JAX_NPU_XLA_FFI_DRIVER_DRIVER_H_
