// A buffer of the virtual XRT: the host's memory, the device's memory, and a record of
// what the host changed since the last sync.

#ifndef JAX_NPU_AIE_SIM_XRT_BUFFER_H_
#define JAX_NPU_AIE_SIM_XRT_BUFFER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "xrt/xrt_bo.h"

namespace xrt {

// Whole pages of zeros, which take memory only when they are touched, or at once.
class Pages {
 public:
  Pages(size_t num_bytes, bool at_once);
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  std::byte* data() const { return data_; }

 private:
  size_t num_bytes_;
  std::byte* data_;
};

// A part of every buffer, which counts the buffers of the process.
struct LiveBuffer {
  LiveBuffer() { ++count; }
  ~LiveBuffer() { --count; }
  LiveBuffer(const LiveBuffer&) = delete;
  LiveBuffer& operator=(const LiveBuffer&) = delete;
  static inline std::atomic<int64_t> count = 0;
};

class bo_impl {
 public:
  // `userptr` is the host's memory, or null for memory that the buffer owns. `device`
  // stays open as long as the buffer lives.
  bo_impl(std::shared_ptr<device_impl> device, void* userptr, size_t size,
          bo::flags flags, memory_group group);

  void Sync(xclBOSyncDirection direction, size_t size, size_t offset);
  // Throws std::invalid_argument, naming `function`, for a range beyond the buffer.
  void CheckRange(const char* function, size_t size, size_t offset) const;

  // Whether the host's memory has changes that no sync has copied. Nobody knows if the
  // process is paced: to look would take the host's time.
  bool HostIsAhead() const;

  // Leaves NaN in the host's memory, in place of results: every word is one as f32, and
  // two as bf16. Does nothing if they are there still. Only in a process that is paced.
  void FillWithStandIns();

  std::byte* host() const { return host_; }
  // Null for data if the process is paced.
  std::byte* device() const { return device_pages_.data(); }
  size_t size() const { return size_; }
  bo::flags flags() const { return flags_; }
  memory_group group() const { return group_; }

 private:
  void Copy(xclBOSyncDirection direction, size_t size, size_t offset);
  uint64_t Fingerprint(size_t block) const;

  const LiveBuffer live_;
  const std::shared_ptr<device_impl> device_;
  const bool is_paced_;
  const size_t size_;
  const bo::flags flags_;
  const memory_group group_;
  Pages host_pages_, device_pages_;
  std::byte* host_;
  // One for each block of the host's memory, as of its last sync.
  std::vector<uint64_t> fingerprints_;
  bool holds_stand_ins_ = false;
};

}  // namespace xrt

#endif  // JAX_NPU_AIE_SIM_XRT_BUFFER_H_
