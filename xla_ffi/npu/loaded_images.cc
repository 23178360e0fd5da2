#include "xla_ffi/npu/loaded_images.h"

#include <chrono>
#include <cstdint>
#include <exception>
#include <string>
#include <thread>

#include "xla_ffi/base/npu_events.h"

namespace jax_npu {
namespace {

constexpr int kMaxAttempts = 4;
constexpr std::chrono::milliseconds kMaxDrain{500};

}  // namespace

std::shared_ptr<NpuBuffer> Allocate(Driver& driver, NpuQueue& queue,
                                    NpuArgument argument, size_t num_bytes) {
  for (int attempt = 1;; ++attempt) {
    try {
      return driver.Allocate(argument, num_bytes);
    } catch (const std::exception& error) {
      if (attempt == kMaxAttempts) throw;
      ReportEvent(&NpuEvents::retries,
                  std::string(error.what()) + "; it is tried again");
    }
    queue.Drain(kMaxDrain);
    std::this_thread::sleep_for(std::chrono::milliseconds(10 * attempt));
  }
}

std::shared_ptr<NpuBuffer> LoadedImage::Load(const ImageSource& source,
                                             const ImageWindow& window,
                                             const ParallelLoop& parallel) {
  if (buffer_ && window_ == window) return buffer_;
  buffer_ = Allocate(driver_, queue_, argument_, window.num_bytes());
  window_ = window;
  PackOperandImage(source, window, reinterpret_cast<uint16_t*>(buffer_->data()),
                   parallel);
  buffer_->SyncToDevice(window.num_bytes());
  return buffer_;
}

}  // namespace jax_npu
