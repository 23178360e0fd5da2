// The NPU as the code above it sees it: buffers, and instruction streams that run on
// them.
//
// driver.cc implements this on XRT. Compiled against the real XRT and against the
// virtual one of aie/sim, it makes two libraries with the same symbols. The extension
// opens one of them at run time, so that it serves machines with and without an NPU.
// A failure is thrown as std::runtime_error with the cause and a remedy. The driver
// never tries again; npu/queue.h does.

#ifndef JAX_NPU_XLA_FFI_DRIVER_DRIVER_H_
#define JAX_NPU_XLA_FFI_DRIVER_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace jax_npu {

// Ranges that several threads copy at a time begin at multiples of this.
constexpr size_t kSyncBytes = 4096;

// The memory of a run's argument, of which the host and the device each have a copy.
// One thread uses it at a time, except that several may copy ranges of it.
class NpuBuffer {
 public:
  virtual ~NpuBuffer() = default;

  // The host's copy, aligned to a page, with arbitrary content at first. A Start may
  // move it together with its content.
  virtual std::byte* data() = 0;

  // Copy a range of bytes from one side to the other. A copy to a device that is lost
  // is made up for by the next session's Start.
  virtual void SyncToDevice(size_t first, size_t num_bytes) = 0;
  virtual void SyncFromDevice(size_t first, size_t num_bytes) = 0;
};

// A stream of instruction words and the buffers that it runs on, argument by argument.
struct Invocation {
  const uint32_t* words;
  size_t num_words;
  std::vector<std::shared_ptr<NpuBuffer>> arguments;
};

// One device with one design loaded. Any thread may allocate at any time. One thread at
// a time starts or resets; one waits, which may be another, but never during a reset.
class Driver {
 public:
  virtual ~Driver() = default;

  // Returns a buffer for that argument of runs. One that several runs use, as whatever
  // argument, must not change until they have completed. Its memory goes back to a pool
  // when it is destroyed.
  virtual std::shared_ptr<NpuBuffer> Allocate(int argument, size_t num_bytes) = 0;

  // Submits the runs as one command, which executes them in order, and returns its
  // number. Wait returns when they have completed. At most kMaxCommands may be started
  // at a time, each of at most kMaxRuns.
  virtual int64_t Start(const std::vector<Invocation>& runs) = 0;
  virtual void Wait(int64_t command) = 0;

  // Gives up all started commands and the context, which may never work again after a
  // failure. The next call opens another context; buffers stay valid.
  virtual void Reset() = 0;

  // Whether the device has not answered the last call: it is being resumed, or is gone.
  // The next context is made on a device that is opened anew. A process that holds no
  // buffers then keeps no file of the old one open, so that its driver can be reloaded.
  virtual bool is_lost() const = 0;
};

constexpr size_t kMaxCommands = 4;
constexpr size_t kMaxRuns = 24;

using OpenDriverFunction = Driver*(const char* design_path);

}  // namespace jax_npu

// The symbols that a driver library exports.
extern "C" {
jax_npu::OpenDriverFunction jax_npu_open_driver;
// Returns null if there is an NPU, else the reason why none can be opened, valid until
// the thread's next call.
const char* jax_npu_device_error();
// The bytes that the driver's buffers pin now, and the most at one time so far.
void jax_npu_pinned_bytes(int64_t* now, int64_t* most);
}

#endif  // JAX_NPU_XLA_FFI_DRIVER_DRIVER_H_
