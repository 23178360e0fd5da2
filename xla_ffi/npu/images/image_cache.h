// The images on one NPU that other products of the same values may need: a training
// step multiplies each of its values at least twice.

#ifndef JAX_NPU_XLA_FFI_NPU_IMAGES_IMAGE_CACHE_H_
#define JAX_NPU_XLA_FFI_NPU_IMAGES_IMAGE_CACHE_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>

#include "xla_ffi/driver/driver.h"
#include "xla_ffi/npu/images/image_key.h"

namespace jax_npu {

// The bytes of images to keep: $JAX_NPU_IMAGE_CACHE_MB or its default. Throws
// std::runtime_error for another value than a size.
size_t MaxCachedBytes();

// The images that were used last. Those of earlier executions of a program are of no
// use any more, and give way first. Any thread may use it.
class ImageCache {
 public:
  using Make = std::function<std::shared_ptr<NpuBuffer>()>;

  // The image with that key: one that is there, or else what make() returns, which
  // packs it. If another thread is just making it, waits for that: make() must wait for
  // no image.
  //
  // Keeps at most max_bytes, of which images in use are never dropped; one that does
  // not fit beside them is not kept. `execution` is XLA's number of the execution that
  // asks.
  std::shared_ptr<NpuBuffer> Find(const ImageKey& key, int64_t execution,
                                  size_t num_bytes, size_t max_bytes, const Make& make);

  // Drops images that no product uses.
  void DropIdle();
  // Forgets all images; products keep those that they use.
  void Drop();

 private:
  struct Image {
    const ImageKey key;
    const int64_t execution;
    const size_t num_bytes;
    std::shared_ptr<NpuBuffer> buffer;  // null while it is being made
    bool has_failed = false;

    bool is_made() const { return buffer != nullptr || has_failed; }
    bool is_idle() const { return buffer.use_count() == 1; }
  };
  using Images = std::list<std::shared_ptr<Image>>;
  using Condition = std::function<bool(const Image&)>;

  // All are called with the mutex held.
  std::shared_ptr<NpuBuffer> WaitFor(const ImageKey& key,
                                     std::unique_lock<std::mutex>& lock);
  // From the oldest on, drops images that are idle, as long as the condition holds.
  void DropWhile(Images& dropped, const Condition& goes_on);
  void Forget(const std::shared_ptr<Image>& image);

  std::mutex mutex_;
  std::condition_variable changed_;
  Images images_;  // latest first
  std::map<ImageKey, Images::iterator> places_;
  size_t num_bytes_ = 0;
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_IMAGES_IMAGE_CACHE_H_
