// Counts of what the custom calls of this process did, on every backend.

#ifndef JAX_NPU_XLA_FFI_BASE_COUNTERS_H_
#define JAX_NPU_XLA_FFI_BASE_COUNTERS_H_

#include <atomic>
#include <chrono>
#include <cstdint>

namespace jax_npu {

using Counter = std::atomic<int64_t>;

// Bytes are the bytes read plus the bytes written. Thread time is wall time in a
// thread, summed over the threads.
struct Counters {
  Counter calls{0};            // calls that succeeded
  Counter flops{0};            // 2 b m k n, times the passes
  Counter host_calls{0};       // of those calls, the ones of the host's kernel
  Counter host_flops{0};       // theirs
  Counter packed_bytes{0};     // packing and rounding for a kernel or the array
  Counter packed_images{0};    // images for the array that were packed
  Counter reused_images{0};    // those that an earlier product had packed
  Counter reused_bytes{0};     // what packing these would have read and written
  Counter converted_bytes{0};  // changes of nothing but the dtype
  Counter copied_bytes{0};     // copies of values as they are
  Counter call_ns{0};          // wall time in which at least one call ran
  Counter pack_ns{0};          // thread time of packing
  Counter multiply_ns{0};      // thread time of multiplying, the array's excluded
  Counter allocate_ns{0};      // thread times of the other parts: see trace/parts.h
  Counter flush_ns{0};
  Counter flushed_bytes{0};  // of the ranges that were synced
  Counter queue_ns{0};
  Counter unpack_ns{0};
  Counter check_ns{0};
  Counter room_ns{0};
  Counter wait_ns{0};
  Counter device_ns{0};        // wall time of commands on an NPU that is not virtual
  Counter optimizer_bytes{0};  // updates of parameters and moments
  Counter optimizer_ns{0};     // thread time of those
};

// The counters of the process. They are in the header so that a file that counts can be
// linked alone.
inline Counters& TheCounters() {
  static Counters counters;
  return counters;
}

inline void Count(Counter& counter, int64_t amount) {
  counter.fetch_add(amount, std::memory_order_relaxed);
}

inline int64_t NanosecondsNow() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

// Counts the time from its construction to the end of its scope.
class Stopwatch {
 public:
  explicit Stopwatch(Counter& counter) : counter_(counter), start_(NanosecondsNow()) {}
  ~Stopwatch() { Count(counter_, NanosecondsNow() - start_); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  Counter& counter_;
  const int64_t start_;
};

}  // namespace jax_npu

#pragma GCC visibility push(default)
extern "C" {
// Returns the counts as JSON, valid until the thread's next call.
const char* jax_npu_counters();
}
#pragma GCC visibility pop

#endif  // JAX_NPU_XLA_FFI_BASE_COUNTERS_H_
