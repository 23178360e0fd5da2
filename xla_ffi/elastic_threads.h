// Threads for tasks that may block.

#ifndef JAX_NPU_XLA_FFI_ELASTIC_THREADS_H_
#define JAX_NPU_XLA_FFI_ELASTIC_THREADS_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace jax_npu {

// Whoever completes a future also runs the rest of XLA's program, which waits for it
// and may itself wait for another device's program. If the NPU's one thread did that,
// it would hold up the queue, and for ever if the other program needs the NPU too.
//
// A task starts at once, on an idle thread or on a new one. Threads are never ended, so
// there are as many as ever worked at the same time.
class ElasticThreads {
 public:
  void Run(std::function<void()> task);

 private:
  [[noreturn]] void Work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  size_t num_idle_ = 0;  // idle threads minus tasks that wait for one
};

// The threads of the process; they end with it.
ElasticThreads& TheElasticThreads();

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_ELASTIC_THREADS_H_
