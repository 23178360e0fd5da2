// Waits for commands on a thread of its own, so that others can be started meanwhile.

#ifndef JAX_NPU_XLA_FFI_DRIVER_WAITER_H_
#define JAX_NPU_XLA_FFI_DRIVER_WAITER_H_

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "xla_ffi/driver/driver.h"

namespace jax_npu {

// Lives as long as the process. One thread calls it.
class Waiter {
 public:
  // `ended` is called on the waiter's thread at the end of each wait: with null, or
  // with what the driver threw.
  Waiter(Driver& driver, std::function<void(std::exception_ptr)> ended)
      : driver_(driver), ended_(std::move(ended)) {
    std::thread([this] { Work(); }).detach();
  }

  // Begins to wait for a command. The wait before must have ended.
  void Begin(int64_t command) {
    const std::lock_guard<std::mutex> lock(mutex_);
    command_ = command;
    changed_.notify_one();
  }

 private:
  [[noreturn]] void Work() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return command_ != kNone; });
      const int64_t command = std::exchange(command_, kNone);
      lock.unlock();
      std::exception_ptr error;
      try {
        driver_.Wait(command);
      } catch (...) {
        error = std::current_exception();
      }
      ended_(error);
    }
  }

  static constexpr int64_t kNone = -1;

  Driver& driver_;
  const std::function<void(std::exception_ptr)> ended_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t command_ = kNone;
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_DRIVER_WAITER_H_
