// Threads for work that may block for as long as it likes.

#ifndef JAX_NPU_XLA_FFI_ELASTIC_THREADS_H_
#define JAX_NPU_XLA_FFI_ELASTIC_THREADS_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace jax_npu {

// Completing a future runs what waits for it, on the thread that completes: the rest of
// XLA's program, which may wait for another device's program. Done by the NPU's one
// thread, that would hold up the queue, and for ever where the other program needs it.
//
// A task starts at once: on a thread that has nothing to do, or on a new one. As many
// threads stay as ever worked at a time.
class ElasticThreads {
 public:
  void Run(std::function<void()> task);

 private:
  [[noreturn]] void Work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  size_t num_idle_ = 0;  // threads, less the tasks that wait for them
};

// Those of the process; they end with it.
ElasticThreads& TheElasticThreads();

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_ELASTIC_THREADS_H_
