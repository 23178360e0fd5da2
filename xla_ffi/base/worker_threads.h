// Threads for work on results that no call waits for: XLA lends its pool only while a
// call lasts.

#ifndef JAX_NPU_XLA_FFI_BASE_WORKER_THREADS_H_
#define JAX_NPU_XLA_FFI_BASE_WORKER_THREADS_H_

#include <sched.h>

#include <algorithm>
#include <cfenv>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace jax_npu {

// As many threads as this process has CPUs. They start with the first task and never
// end.
class WorkerThreads {
 public:
  int64_t num_threads() const { return num_threads_; }

  // Runs a task, which must not throw, on one of the threads. Throws std::system_error
  // if none can be started.
  template <typename Task>
  void Schedule(Task task) {
    const std::lock_guard<std::mutex> lock(mutex_);
    StartThreads();
    // A std::function holds only what can be copied.
    tasks_.push_back(
        [shared = std::make_shared<Task>(std::move(task))] { (*shared)(); });
    changed_.notify_one();
  }

 private:
  static int64_t NumCpus() {
    cpu_set_t cpus;
    const bool is_known = sched_getaffinity(0, sizeof cpus, &cpus) == 0;
    return std::max(1, is_known ? CPU_COUNT(&cpus) : 1);
  }

  void StartThreads() {
    for (; num_started_ < num_threads_; ++num_started_) {
      try {
        std::thread([this] { Work(); }).detach();
      } catch (const std::system_error&) {
        if (num_started_ == 0) throw;
        return;  // those that there are do the work
      }
    }
  }

  [[noreturn]] void Work() {
    // XLA's threads flush denormals to 0, and a new thread inherits that.
    std::fesetenv(FE_DFL_ENV);
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return !tasks_.empty(); });
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }

  const int64_t num_threads_ = NumCpus();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  int64_t num_started_ = 0;
};

// The threads of the process.
inline WorkerThreads& TheWorkerThreads() {
  static WorkerThreads& threads = *new WorkerThreads;
  return threads;
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_BASE_WORKER_THREADS_H_
