#include "xla_ffi/npu/loaded_images.h"

#include <chrono>
#include <cstdint>
#include <exception>
#include <string>
#include <thread>

#include "xla_ffi/base/counters.h"
#include "xla_ffi/base/npu_events.h"
#include "xla_ffi/npu/images/image_cache.h"
#include "xla_ffi/npu/images/image_key.h"
#include "xla_ffi/trace/parts.h"

namespace jax_npu {
namespace {

constexpr int kMaxAttempts = 4;
constexpr std::chrono::milliseconds kMaxDrain{500};

}  // namespace

std::shared_ptr<NpuBuffer> Allocate(Driver& driver, NpuQueue& queue,
                                    NpuArgument argument, size_t num_bytes) {
  for (int attempt = 1;; ++attempt) {
    try {
      const PartTimer timer(Part::kAllocate, num_bytes);
      return driver.Allocate(argument, num_bytes);
    } catch (const std::exception& error) {
      if (attempt == kMaxAttempts) throw;
      ReportEvent(&NpuEvents::retries,
                  std::string(error.what()) + "; it is tried again");
    }
    queue.images().DropIdle();
    queue.Drain(kMaxDrain);
    // A device that is resumed after a suspend takes a while: 3.6 s in all.
    const int pause = driver.is_lost() ? 600 : 10;
    std::this_thread::sleep_for(std::chrono::milliseconds(pause * attempt));
  }
}

std::shared_ptr<NpuBuffer> LoadedImage::Load(const ImageSource& source,
                                             const ImageWindow& window,
                                             const ParallelLoop& parallel) {
  if (buffer_ && window_ == window) return buffer_;
  bool is_new = false;
  const auto make = [&] {
    is_new = true;
    return Pack(source, window, parallel);
  };
  buffer_ = queue_.images().Find(KeyOfWindow(source.key, source.layout, window),
                                 source.execution, window.num_bytes(), MaxCachedBytes(),
                                 make);
  window_ = window;
  if (!is_new) {
    Count(TheCounters().reused_images, 1);
    Count(TheCounters().reused_bytes, PackedBytes(source, window));
  }
  return buffer_;
}

std::shared_ptr<NpuBuffer> LoadedImage::Pack(const ImageSource& source,
                                             const ImageWindow& window,
                                             const ParallelLoop& parallel) {
  auto buffer = Allocate(driver_, queue_, argument_, window.num_bytes());
  PackOperandImage(source, window, *buffer, parallel);
  return buffer;
}

}  // namespace jax_npu
