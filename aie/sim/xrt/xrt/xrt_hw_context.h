// xrt::hw_context, a design on the array with its own queue of commands.

#ifndef JAX_NPU_AIE_SIM_XRT_XRT_XRT_HW_CONTEXT_H_
#define JAX_NPU_AIE_SIM_XRT_XRT_XRT_HW_CONTEXT_H_

#include <memory>

#include "xrt/xrt_device.h"
#include "xrt/xrt_uuid.h"

namespace xrt {

class hw_context_impl;

class NPU_SIM_EXPORT hw_context {
 public:
  hw_context() = default;
  // Throws std::runtime_error if the design is not registered or the device has no
  // context left.
  hw_context(const device& device, const uuid& xclbin_id);

  explicit operator bool() const { return handle_ != nullptr; }
  const std::shared_ptr<hw_context_impl>& get_handle() const { return handle_; }

 private:
  std::shared_ptr<hw_context_impl> handle_;
};

}  // namespace xrt

#endif  // JAX_NPU_AIE_SIM_XRT_XRT_XRT_HW_CONTEXT_H_
