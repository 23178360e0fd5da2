// Buffers that nobody uses, kept for the next run: to make one takes long, its pages
// above all.

#ifndef JAX_NPU_XLA_FFI_DRIVER_IDLE_BUFFERS_H_
#define JAX_NPU_XLA_FFI_DRIVER_IDLE_BUFFERS_H_

#include <unistd.h>

#include <cstddef>
#include <iterator>
#include <list>
#include <mutex>
#include <optional>
#include <utility>

namespace jax_npu {

// Adds at most a quarter, so that buffers of similar sizes fit each other's runs.
inline size_t RoundUpSize(size_t num_bytes) {
  size_t step = 4096;  // a page
  while (8 * step < num_bytes) step *= 2;
  return (num_bytes + step - 1) / step * step;
}

// What may lie idle: an eighth of the machine's memory. A training step's buffers are
// less, so that it makes them once; where memory is short, they are dropped.
inline size_t MaxIdleBytes() {
  static const size_t max_bytes = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) / 8 *
                                  static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return max_bytes;
}

// A pool of buffers, each in one of the device's memories. `Buffer` has a size() in
// bytes. Any thread may use it.
template <typename Buffer>
class IdleBuffers {
 public:
  // The latest buffer that fits, if any. One more than twice as large is left for
  // others.
  std::optional<Buffer> Take(int memory, size_t num_bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto idle = idle_.begin(); idle != idle_.end(); ++idle) {
      const size_t size = idle->buffer.size();
      if (idle->memory != memory || size < num_bytes) continue;
      if (size > 2 * RoundUpSize(num_bytes)) continue;
      std::optional<Buffer> buffer(std::move(idle->buffer));
      idle_.erase(idle);
      return buffer;
    }
    return std::nullopt;
  }

  void GiveBack(int memory, Buffer buffer) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      idle_.push_front({memory, std::move(buffer)});
    }
    Drop(MaxIdleBytes());
  }

  // Keeps the latest buffers, up to that many bytes.
  void Drop(size_t max_bytes) {
    std::list<Idle> dropped;  // destroyed after the lock is released
    const std::lock_guard<std::mutex> lock(mutex_);
    size_t total = 0;
    for (auto idle = idle_.begin(); idle != idle_.end();) {
      const auto next = std::next(idle);
      total += idle->buffer.size();
      if (total > max_bytes) dropped.splice(dropped.end(), idle_, idle);
      idle = next;
    }
  }

 private:
  struct Idle {
    int memory;
    Buffer buffer;
  };

  std::mutex mutex_;
  std::list<Idle> idle_;  // latest first
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_DRIVER_IDLE_BUFFERS_H_
