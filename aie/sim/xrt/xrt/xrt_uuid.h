// xrt::uuid, which names a design.

#ifndef JAX_NPU_AIE_SIM_XRT_XRT_XRT_UUID_H_
#define JAX_NPU_AIE_SIM_XRT_XRT_XRT_UUID_H_

#include <array>
#include <cstdint>
#include <string>

#include "xrt/detail/ert.h"

namespace xrt {

class NPU_SIM_EXPORT uuid {
 public:
  uuid() = default;
  explicit uuid(const std::array<uint8_t, 16>& bytes) : bytes_(bytes) {}

  std::string to_string() const;
  operator bool() const { return bytes_ != std::array<uint8_t, 16>{}; }
  bool operator==(const uuid& other) const { return bytes_ == other.bytes_; }
  bool operator!=(const uuid& other) const { return bytes_ != other.bytes_; }
  bool operator<(const uuid& other) const { return bytes_ < other.bytes_; }

 private:
  std::array<uint8_t, 16> bytes_ = {};
};

}  // namespace xrt

#endif  // JAX_NPU_AIE_SIM_XRT_XRT_XRT_UUID_H_
