// xrt::xclbin, xrt::device and xrt::hw_context: how a file becomes a context.

#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>

#include "aie/sim/program/configuration.h"
#include "aie/sim/xrt/context.h"
#include "aie/sim/xrt/faults.h"
#include "xrt/experimental/xrt_xclbin.h"
#include "xrt/xrt_device.h"
#include "xrt/xrt_hw_context.h"

namespace xrt {

class xclbin_impl {
 public:
  xclbin_impl(jax_npu::sim::Configuration configuration, uuid id)
      : configuration(std::move(configuration)), id(id) {}
  const jax_npu::sim::Configuration configuration;
  const uuid id;
};

class device_impl {
 public:
  std::mutex mutex;
  std::map<uuid, xclbin> designs;
};

namespace {

constexpr const char* kKernelName = "MLIR_AIE";  // mlir-aie's name for it

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file || !content) throw std::runtime_error(path + " cannot be read");
  return content.str();
}

// Two 64-bit FNV-1a hashes of the text, the second from another start value.
uuid UuidOf(const std::string& text) {
  std::array<uint8_t, 16> bytes;
  for (int half = 0; half < 2; ++half) {
    uint64_t hash = half == 0 ? 0xCBF29CE484222325u : 0x84222325CBF29CE4u;
    for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3u;
    for (int i = 0; i < 8; ++i) {
      bytes[8 * half + i] = static_cast<uint8_t>(hash >> 8 * i);
    }
  }
  return uuid(bytes);
}

}  // namespace

std::string uuid::to_string() const {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < bytes_.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += {kDigits[bytes_[i] >> 4], kDigits[bytes_[i] & 15]};
  }
  return text;
}

xclbin::xclbin(const std::string& filename) {
  const std::string text = ReadFile(filename);
  try {
    handle_ = std::make_shared<xclbin_impl>(jax_npu::sim::ParseConfiguration(text),
                                            UuidOf(text));
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(filename +
                             " is not a design for the virtual NPU: " + error.what());
  }
}

std::vector<xclbin::kernel> xclbin::get_kernels() const {
  return {kernel(kKernelName)};
}

uuid xclbin::get_uuid() const { return handle_->id; }

device::device(unsigned int index) {
  if (index != 0) {
    throw std::runtime_error("No such device with index '" + std::to_string(index) +
                             "'");
  }
  // As XRT's shim does, the process opens the device's file once for all that hold it.
  static std::mutex mutex;
  static std::weak_ptr<device_impl> opened;
  const std::lock_guard<std::mutex> lock(mutex);
  handle_ = opened.lock();
  jax_npu::sim::CountOpening(handle_ == nullptr);
  if (handle_ == nullptr) handle_ = std::make_shared<device_impl>();
  opened = handle_;
}

uuid device::register_xclbin(const xclbin& design) {
  jax_npu::sim::CountCall("GET_INFO");
  const std::lock_guard<std::mutex> lock(handle_->mutex);
  handle_->designs.insert_or_assign(design.get_uuid(), design);
  return design.get_uuid();
}

hw_context::hw_context(const device& device, const uuid& xclbin_id) {
  jax_npu::sim::CountCall("CREATE_HWCTX");
  jax_npu::sim::CountContext();
  xclbin design;
  {
    const std::lock_guard<std::mutex> lock(device.get_handle()->mutex);
    const auto found = device.get_handle()->designs.find(xclbin_id);
    if (found == device.get_handle()->designs.end()) {
      throw std::runtime_error("the design " + xclbin_id.to_string() +
                               " is not registered with the device");
    }
    design = found->second;
  }
  handle_ = std::make_shared<hw_context_impl>(design.get_handle()->configuration,
                                              device.get_handle());
}

}  // namespace xrt
