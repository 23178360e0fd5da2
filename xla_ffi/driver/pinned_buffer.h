// Buffers of the device, and how much memory they pin.

#ifndef JAX_NPU_XLA_FFI_DRIVER_PINNED_BUFFER_H_
#define JAX_NPU_XLA_FFI_DRIVER_PINNED_BUFFER_H_

#include <xrt/xrt_bo.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

namespace jax_npu {

// Bytes that the device may read or write, so that the kernel keeps them in place.
class PinnedBytes {
 public:
  void Add(int64_t num_bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    now_ += num_bytes;
    most_ = std::max(most_, now_);
  }

  int64_t now() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return now_;
  }

  int64_t most() {  // at one time
    const std::lock_guard<std::mutex> lock(mutex_);
    return most_;
  }

 private:
  std::mutex mutex_;
  int64_t now_ = 0, most_ = 0;
};

// Those of this driver in this process.
inline PinnedBytes& ThePinnedBytes() {
  static PinnedBytes& bytes = *new PinnedBytes;  // buffers may outlive statics
  return bytes;
}

// A buffer object, counted as long as this lives. A command that still runs may keep
// the object itself a little longer.
class PinnedBuffer {
 public:
  explicit PinnedBuffer(xrt::bo bo)
      : bo_(std::move(bo)), num_bytes_(static_cast<int64_t>(bo_.size())) {
    ThePinnedBytes().Add(num_bytes_);
  }

  PinnedBuffer(PinnedBuffer&& other) noexcept
      : bo_(std::move(other.bo_)), num_bytes_(std::exchange(other.num_bytes_, 0)) {}

  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(bo_, other.bo_);
    std::swap(num_bytes_, other.num_bytes_);
    return *this;
  }

  ~PinnedBuffer() { ThePinnedBytes().Add(-num_bytes_); }

  const xrt::bo& bo() const { return bo_; }
  xrt::bo& bo() { return bo_; }

  size_t size() const { return static_cast<size_t>(num_bytes_); }
  const void* map() { return bo_.map(); }

 private:
  xrt::bo bo_;
  int64_t num_bytes_;
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_DRIVER_PINNED_BUFFER_H_
