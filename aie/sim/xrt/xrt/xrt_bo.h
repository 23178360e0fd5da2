// xrt::bo, a buffer: host memory, device memory, and copies between them on demand.

#ifndef JAX_NPU_AIE_SIM_XRT_XRT_XRT_BO_H_
#define JAX_NPU_AIE_SIM_XRT_XRT_XRT_BO_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "xrt/detail/ert.h"
#include "xrt/xrt_device.h"

using xrtMemoryGroup = uint32_t;

enum xclBOSyncDirection {
  XCL_BO_SYNC_BO_TO_DEVICE = 0,
  XCL_BO_SYNC_BO_FROM_DEVICE,
};

constexpr uint32_t XRT_BO_FLAGS_NONE = 0;
constexpr uint32_t XRT_BO_FLAGS_CACHEABLE = 1u << 24;
constexpr uint32_t XRT_BO_FLAGS_HOST_ONLY = 1u << 29;

namespace xrt {

using memory_group = xrtMemoryGroup;

class hw_context;
class bo_impl;

class NPU_SIM_EXPORT bo {
 public:
  enum class flags : uint32_t {
    normal = XRT_BO_FLAGS_NONE,
    cacheable = XRT_BO_FLAGS_CACHEABLE,
    host_only = XRT_BO_FLAGS_HOST_ONLY,
  };

  bo() = default;
  bo(const device& device, size_t size, flags flags, memory_group group);
  bo(const hw_context& context, size_t size, flags flags, memory_group group);
  // Uses the caller's memory, which must be whole pages and outlive the buffer.
  bo(const device& device, void* userptr, size_t size, flags flags, memory_group group);

  size_t size() const;
  uint64_t address() const;
  memory_group get_memory_group() const;
  flags get_flags() const;

  // Throws std::invalid_argument for a range beyond the buffer.
  void sync(xclBOSyncDirection direction, size_t size, size_t offset);
  void sync(xclBOSyncDirection direction) { sync(direction, size(), 0); }

  // The host's memory, which begins on a page.
  void* map();
  const void* map() const;
  template <typename Pointer>
  Pointer map() {
    return static_cast<Pointer>(map());
  }
  template <typename Pointer>
  Pointer map() const {
    return static_cast<Pointer>(map());
  }
  void write(const void* from, size_t size, size_t offset);
  void write(const void* from) { write(from, size(), 0); }
  void read(void* to, size_t size, size_t offset);
  void read(void* to) { read(to, size(), 0); }

  explicit operator bool() const { return handle_ != nullptr; }
  bool operator==(const bo& other) const { return handle_ == other.handle_; }
  const std::shared_ptr<bo_impl>& get_handle() const { return handle_; }

 private:
  std::shared_ptr<bo_impl> handle_;
};

}  // namespace xrt

#endif  // JAX_NPU_AIE_SIM_XRT_XRT_XRT_BO_H_
