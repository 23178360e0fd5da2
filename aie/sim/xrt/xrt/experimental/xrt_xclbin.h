// xrt::xclbin, a design in a file. For the virtual XRT it is the text that
// aie/sim/program/configuration.h describes.

#ifndef JAX_NPU_AIE_SIM_XRT_XRT_EXPERIMENTAL_XRT_XCLBIN_H_
#define JAX_NPU_AIE_SIM_XRT_XRT_EXPERIMENTAL_XRT_XCLBIN_H_

#include <memory>
#include <string>
#include <vector>

#include "xrt/xrt_uuid.h"

namespace xrt {

class xclbin_impl;

class NPU_SIM_EXPORT xclbin {
 public:
  class NPU_SIM_EXPORT kernel {
   public:
    kernel() = default;
    explicit kernel(std::string name) : name_(std::move(name)) {}
    std::string get_name() const { return name_; }

   private:
    std::string name_;
  };

  xclbin() = default;
  // Throws std::runtime_error if the file cannot be read or is not a configuration.
  explicit xclbin(const std::string& filename);
  explicit xclbin(std::shared_ptr<xclbin_impl> handle) : handle_(std::move(handle)) {}

  std::vector<kernel> get_kernels() const;
  uuid get_uuid() const;
  explicit operator bool() const { return handle_ != nullptr; }
  const std::shared_ptr<xclbin_impl>& get_handle() const { return handle_; }

 private:
  std::shared_ptr<xclbin_impl> handle_;
};

}  // namespace xrt

#endif  // JAX_NPU_AIE_SIM_XRT_XRT_EXPERIMENTAL_XRT_XCLBIN_H_
