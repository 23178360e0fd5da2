// A bound on the memory of images that wait for the NPU.

#ifndef JAX_NPU_XLA_FFI_NPU_GATE_H_
#define JAX_NPU_XLA_FFI_NPU_GATE_H_

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace jax_npu {

// Lets threads in while the bytes inside stay below a bound, or one thread that alone
// needs more than that.
class Gate {
 public:
  // Waits until the bytes fit.
  void Enter(size_t num_bytes) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(
        lock, [&] { return num_bytes_ == 0 || num_bytes_ + num_bytes <= kMaxBytes; });
    num_bytes_ += num_bytes;
  }

  void Leave(size_t num_bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    num_bytes_ -= num_bytes;
    changed_.notify_all();
  }

 private:
  // Enough to keep the NPU busy; packing further ahead would only take memory.
  static constexpr size_t kMaxBytes = size_t{256} << 20;

  std::mutex mutex_;
  std::condition_variable changed_;
  size_t num_bytes_ = 0;
};

// The one gate of the process; it is never destroyed.
inline Gate& TheGate() {
  static Gate& gate = *new Gate;
  return gate;
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_GATE_H_
