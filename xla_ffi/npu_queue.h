// The one queue of the NPU: runs from any thread, submitted several at a time, and
// tried again where the device failed.

#ifndef JAX_NPU_XLA_FFI_NPU_QUEUE_H_
#define JAX_NPU_XLA_FFI_NPU_QUEUE_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <vector>

#include "driver.h"

namespace jax_npu {

struct NpuTask {
  Invocation run;
  // After the run, on the queue's thread: takes its results, and says whether they are
  // to be trusted. If not, the context is not either. May be called again.
  std::function<bool()> finish;
  // Then, or with the cause after the last attempt: called once, must not throw.
  std::function<void(std::exception_ptr)> done;
  int num_attempts = 0;
};

// One thread that starts, waits and finishes; it lives as long as the process.
class NpuQueue {
 public:
  explicit NpuQueue(Driver& driver);

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
  void FinishOldest();
  void Finish(std::vector<NpuTask> tasks);
  void Recover(std::vector<NpuTask> failed, std::exception_ptr cause);
  void RunAlone(NpuTask task, std::exception_ptr cause);
  void End(NpuTask task, std::exception_ptr error);

  Driver& driver_;
  const int process_;  // that the thread is of
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<NpuTask> pending_;
  size_t num_unfinished_ = 0;

  std::deque<Command> commands_;  // of the thread: started, the oldest first
};

// The queue of a driver, which is made with its first use. Throws std::runtime_error in
// a child of the process that made it, before anything that waits for its thread.
NpuQueue& QueueOf(Driver& driver);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_QUEUE_H_
