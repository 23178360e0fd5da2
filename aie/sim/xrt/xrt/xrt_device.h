// xrt::device, the virtual NPU. There is only one, with index 0.

#ifndef JAX_NPU_AIE_SIM_XRT_XRT_XRT_DEVICE_H_
#define JAX_NPU_AIE_SIM_XRT_XRT_XRT_DEVICE_H_

#include <memory>

#include "xrt/experimental/xrt_xclbin.h"
#include "xrt/xrt_uuid.h"

namespace xrt {

class device_impl;

class NPU_SIM_EXPORT device {
 public:
  device() = default;
  // Throws std::runtime_error unless the index is 0.
  explicit device(unsigned int index);
  explicit device(int index) : device(static_cast<unsigned int>(index)) {}

  // Makes the design known; a hw_context with the returned uuid runs it.
  uuid register_xclbin(const xclbin& design);

  explicit operator bool() const { return handle_ != nullptr; }
  const std::shared_ptr<device_impl>& get_handle() const { return handle_; }

 private:
  std::shared_ptr<device_impl> handle_;
};

}  // namespace xrt

#endif  // JAX_NPU_AIE_SIM_XRT_XRT_XRT_DEVICE_H_
