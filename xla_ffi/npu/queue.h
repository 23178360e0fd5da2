// The one queue of an NPU. It takes runs from any thread, submits several at a time as
// one command, and tries again after a failure of the device.

#ifndef JAX_NPU_XLA_FFI_NPU_QUEUE_H_
#define JAX_NPU_XLA_FFI_NPU_QUEUE_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "xla_ffi/driver/driver.h"
#include "xla_ffi/driver/waiter.h"
#include "xla_ffi/npu/images/image_cache.h"
#include "xla_ffi/npu/verify/health.h"
#include "xla_ffi/npu/verify/self_test.h"
#include "xla_ffi/trace/parts.h"

namespace jax_npu {

struct NpuTask {
  Invocation run;
  // The test that a new context must pass before the run; null for none.
  std::shared_ptr<const SelfTest> self_test;
  // Called after the run, on the queue's thread: takes the result and returns whether
  // it is to be trusted. If not, the context is given up. May be called again, if the
  // run is repeated.
  std::function<bool()> finish;
  // Called once after that for a result that is trusted, or null: does what takes long
  // on worker threads, while the queue goes on. What it throws ends the task.
  std::function<void()> take;
  // Called once, at the end: with null, with the cause of the last failed attempt, or
  // with UnhealthyNpu. Must not throw.
  std::function<void(std::exception_ptr)> done;
  // For a trace: the product and the bytes of the run's buffers.
  ProductInfo product = {};
  int64_t num_bytes = 0;
  int num_attempts = 0;
};

// Thrown in place of a run because the NPU is not to be trusted.
class UnhealthyNpu : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One thread starts commands and finishes their tasks, another one waits for them; they
// live as long as the process. While commands run, tasks wait in the queue and are
// joined: so many runs pay for one launch.
class NpuQueue {
 public:
  NpuQueue(Driver& driver, const char* backend);

  NpuHealth& health() { return health_; }
  ImageCache& images() { return images_; }

  // Throws std::runtime_error in a child of the process that made the queue.
  void RequireItsProcess() const;

  void Submit(NpuTask task);

  // Gives up the context of a device that was lost, and so the device, if that is known
  // now. Called after a failure that no task of the queue met.
  void ResetIfLost();

  // Returns when no task is left, or after that time.
  void Drain(std::chrono::milliseconds max_time);

 private:
  struct Command {
    int64_t number;
    int64_t start_ns;  // when it was submitted
    std::vector<NpuTask> tasks;
  };

  [[noreturn]] void Work();
  std::vector<NpuTask> NextTasks();
  void Start(std::vector<NpuTask> tasks);
  // A command without its tasks.
  Command StartCommand(const std::vector<Invocation>& runs);
  // Counts the time of a command that has ended, and records the runs of its tasks.
  void RecordEnd(const Command& command, const std::vector<NpuTask>& tasks);
  void TestContext(const SelfTest* test);
  void RequireHealth() const;
  void WaitFor(const Command& command);
  void EndOfWait(std::exception_ptr error);
  std::exception_ptr WaitForOldest();
  void FinishOldest();
  void Finish(std::vector<NpuTask> tasks);
  void Recover(std::vector<NpuTask> failed, std::exception_ptr cause);
  void RunAlone(NpuTask task, std::exception_ptr cause);
  void Take(NpuTask task);
  void Reset();
  void End(NpuTask task, std::exception_ptr error);

  Driver& driver_;
  NpuHealth health_;
  ImageCache images_;
  const bool is_virtual_;
  const int process_;  // the process that the thread belongs to
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<NpuTask> pending_;
  size_t num_unfinished_ = 0;
  bool must_reset_ = false;
  bool has_oldest_ended_ = false;
  std::exception_ptr oldest_error_;  // what the wait for it threw

  // Used by the queue's thread alone.
  std::deque<Command> commands_;  // started, the oldest first, which is waited for
  int64_t latest_end_ns_ = 0;     // of a command
  Waiter waiter_;
  bool is_waiting_ = false;
  bool context_is_tested_ = false;  // since the last reset
};

// The queue of a driver, made at its first use. In a child of the process that made it
// there is no such thread to wait for: throws std::runtime_error.
NpuQueue& QueueOf(Driver& driver, const char* backend);

}  // namespace jax_npu

#pragma GCC visibility push(default)
extern "C" {
// Returns the health of every NPU that this process used, as JSON: see NpuHealth. Valid
// until the thread's next call.
const char* jax_npu_health();
// Calls NpuHealth::Forget for each of them.
void jax_npu_forget_health();
}
#pragma GCC visibility pop

#endif  // JAX_NPU_XLA_FFI_NPU_QUEUE_H_
