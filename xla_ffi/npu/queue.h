// The one queue of the NPU: runs from any thread, submitted several at a time, and
// tried again where the device failed.

#ifndef JAX_NPU_XLA_FFI_NPU_QUEUE_H_
#define JAX_NPU_XLA_FFI_NPU_QUEUE_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "xla_ffi/driver/driver.h"
#include "xla_ffi/npu/verify/health.h"
#include "xla_ffi/npu/verify/self_test.h"

namespace jax_npu {

struct NpuTask {
  Invocation run;
  // What a new context has to pass before the run; null asks for nothing.
  std::shared_ptr<const SelfTest> self_test;
  // After the run, on the queue's thread: takes its results, and says whether they are
  // to be trusted. If not, the context is not either. May be called again.
  std::function<bool()> finish;
  // Then, or with the cause after the last attempt, or with UnhealthyNpu: called once,
  // must not throw.
  std::function<void(std::exception_ptr)> done;
  int num_attempts = 0;
};

// The run did not take place, since the NPU is not to be trusted.
class UnhealthyNpu : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One thread that starts, waits and finishes; it lives as long as the process.
class NpuQueue {
 public:
  NpuQueue(Driver& driver, const char* backend);

  NpuHealth& health() { return health_; }

  // Throws std::runtime_error in a child of the process that made the queue.
  void RequireItsProcess() const;

  void Submit(NpuTask task);

  // Returns when nothing is left to do, or after that time.
  void Drain(std::chrono::milliseconds max_time);

 private:
  struct Command {
    int64_t number;
    std::vector<NpuTask> tasks;
  };

  [[noreturn]] void Work();
  std::vector<NpuTask> Take(bool wait);
  void Start(std::vector<NpuTask> tasks);
  void TestContext(const SelfTest* test);
  void RequireHealth() const;
  void FinishOldest();
  void Finish(std::vector<NpuTask> tasks);
  void Recover(std::vector<NpuTask> failed, std::exception_ptr cause);
  void RunAlone(NpuTask task, std::exception_ptr cause);
  void Reset();
  void End(NpuTask task, std::exception_ptr error);

  Driver& driver_;
  NpuHealth health_;
  const int process_;  // that the thread is of
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<NpuTask> pending_;
  size_t num_unfinished_ = 0;

  // The thread's own.
  std::deque<Command> commands_;    // started, the oldest first
  bool context_is_tested_ = false;  // since the last reset
};

// The queue of a driver, which is made with its first use. Throws std::runtime_error in
// a child of the process that made it, before anything that waits for its thread.
NpuQueue& QueueOf(Driver& driver, const char* backend);

}  // namespace jax_npu

#pragma GCC visibility push(default)
extern "C" {
// The health of every NPU that was used in this process, as JSON: see NpuHealth. Valid
// until the thread's next call.
const char* jax_npu_health();
// NpuHealth::Forget for all of them.
void jax_npu_forget_health();
}
#pragma GCC visibility pop

#endif  // JAX_NPU_XLA_FFI_NPU_QUEUE_H_
