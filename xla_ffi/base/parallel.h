// Parallel loops on XLA's own thread pool.

#ifndef JAX_NPU_XLA_FFI_BASE_PARALLEL_H_
#define JAX_NPU_XLA_FFI_BASE_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

// XLA's pool is not instrumented, so the thread sanitizer must be told that a task
// begins after it was handed over.
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define JAX_NPU_TASK_HANDED_OVER(task) __tsan_release(task)
#define JAX_NPU_TASK_BEGINS(task) __tsan_acquire(task)
// XLA also orders calls that share memory: a call begins after those that it needs.
inline char jax_npu_calls;
#define JAX_NPU_CALL_BEGINS() __tsan_acquire(&jax_npu_calls)
#define JAX_NPU_CALL_ENDS() __tsan_release(&jax_npu_calls)
#else
#define JAX_NPU_CALL_BEGINS()
#define JAX_NPU_CALL_ENDS()
#define JAX_NPU_TASK_HANDED_OVER(task)
#define JAX_NPU_TASK_BEGINS(task)
#endif

namespace jax_npu {

// A thread's share of a loop. XLA's header moves it into memory of its own, which is
// the last write before another thread reads it there.
template <typename State>
class ParallelTask {
 public:
  explicit ParallelTask(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ParallelTask(ParallelTask&& other) noexcept : state_(std::move(other.state_)) {
    JAX_NPU_TASK_HANDED_OVER(this);
  }

  void operator()() {
    JAX_NPU_TASK_BEGINS(this);
    state_->Work();
  }

 private:
  std::shared_ptr<State> state_;
};

// Calls body(i) for every i in [0, num_items), on at most num_workers threads.
//
// The caller works too, and waits only for items that a running thread has claimed: a
// handler runs on the pool that it schedules on, so waiting for tasks that have not
// started would deadlock once every thread of the pool waits. A task that starts late
// finds no item left; it shares ownership of the state.
// The first exception that a body throws is rethrown here, after all items ended.
template <typename Pool>
void ParallelFor(Pool& pool, int64_t num_workers, int64_t num_items,
                 std::function<void(int64_t)> body) {
  if (num_workers <= 1 || num_items <= 1) {
    for (int64_t i = 0; i < num_items; ++i) body(i);
    return;
  }
  struct State {
    std::function<void(int64_t)> body;
    int64_t num_items;
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable all_done;
    int64_t num_done = 0;
    std::exception_ptr error;

    void Work() {
      for (int64_t i; (i = next.fetch_add(1)) < num_items;) {
        std::exception_ptr raised;
        try {
          body(i);
        } catch (...) {
          raised = std::current_exception();
        }
        std::lock_guard<std::mutex> lock(mutex);
        if (raised && !error) error = raised;
        if (++num_done == num_items) all_done.notify_all();
      }
    }
  };
  auto state = std::make_shared<State>();
  state->body = std::move(body);
  state->num_items = num_items;
  const int64_t num_helpers = std::min(num_workers, num_items) - 1;
  for (int64_t i = 0; i < num_helpers; ++i) pool.Schedule(ParallelTask<State>(state));
  state->Work();
  std::unique_lock<std::mutex> lock(state->mutex);
  state->all_done.wait(lock, [&] { return state->num_done == num_items; });
  if (state->error) std::rethrow_exception(state->error);
}

// Calls a function for every index below a count, on several threads.
struct ParallelLoop {
  int64_t num_threads;
  std::function<void(int64_t num_items, std::function<void(int64_t)>)> run;

  void operator()(int64_t num_items, const std::function<void(int64_t)>& body) const {
    if (num_threads > 1 && num_items > 1) return run(num_items, body);
    for (int64_t i = 0; i < num_items; ++i) body(i);
  }
};

inline const ParallelLoop kSerialLoop = {1, nullptr};

// A loop on all threads of a pool. The calling thread counts as one of them.
template <typename Pool>
ParallelLoop LoopOn(Pool& pool) {
  return {pool.num_threads(),
          [&pool](int64_t num_items, std::function<void(int64_t)> body) {
            ParallelFor(pool, pool.num_threads(), num_items, std::move(body));
          }};
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_BASE_PARALLEL_H_
