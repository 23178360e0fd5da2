#include "xla_ffi/npu/images/image_cache.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "xla_ffi/base/environment.h"

namespace jax_npu {

size_t MaxCachedBytes() {
  constexpr double kMaxMb = 1 << 20;
  const double megabytes =
      ReadNumber(kImageCacheVariable, kDefaultImageCacheMb, 0, kMaxMb);
  return static_cast<size_t>(megabytes * (1 << 20));
}

std::shared_ptr<NpuBuffer> ImageCache::Find(const ImageKey& key, int64_t execution,
                                            size_t num_bytes, size_t max_bytes,
                                            const Make& make) {
  std::shared_ptr<Image> image;
  {
    Images dropped;  // destroyed after the lock is released
    std::unique_lock<std::mutex> lock(mutex_);
    if (auto buffer = WaitFor(key, lock)) return buffer;
    // Before the new one is made, so that it takes the memory of those dropped.
    const size_t room = max_bytes - std::min(num_bytes, max_bytes);
    DropWhile(dropped, [&](const Image&) { return num_bytes_ > room; });
    // As much of other executions, which are oldest.
    const size_t left = num_bytes_ - std::min(num_bytes, num_bytes_);
    DropWhile(dropped, [&](const Image& image) {
      return num_bytes_ > left && image.execution != execution;
    });
    if (num_bytes_ + num_bytes <= max_bytes) {
      image = std::make_shared<Image>(Image{key, execution, num_bytes, nullptr});
      images_.push_front(image);
      places_[key] = images_.begin();
      num_bytes_ += num_bytes;
    }
  }
  if (image == nullptr) return make();
  std::shared_ptr<NpuBuffer> buffer;
  try {
    buffer = make();
  } catch (...) {
    const std::lock_guard<std::mutex> lock(mutex_);
    image->has_failed = true;
    Forget(image);
    changed_.notify_all();
    throw;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  image->buffer = buffer;
  changed_.notify_all();
  return buffer;
}

void ImageCache::DropIdle() {
  Images dropped;
  const std::lock_guard<std::mutex> lock(mutex_);
  DropWhile(dropped, [](const Image&) { return true; });
}

void ImageCache::Drop() {
  Images dropped;
  const std::lock_guard<std::mutex> lock(mutex_);
  dropped.swap(images_);
  places_.clear();
  num_bytes_ = 0;
}

// Returns null if there is none, and if its maker failed: then this thread tries.
std::shared_ptr<NpuBuffer> ImageCache::WaitFor(const ImageKey& key,
                                               std::unique_lock<std::mutex>& lock) {
  for (auto known = places_.find(key); known != places_.end();
       known = places_.find(key)) {
    const std::shared_ptr<Image> image = *known->second;
    if (!image->is_made()) {
      changed_.wait(lock, [&] { return image->is_made(); });
      if (image->has_failed) continue;
      return image->buffer;
    }
    images_.splice(images_.begin(), images_, known->second);
    return image->buffer;
  }
  return nullptr;
}

void ImageCache::DropWhile(Images& dropped, const Condition& goes_on) {
  for (auto next = images_.end(); next != images_.begin();) {
    const auto oldest = std::prev(next);
    const Image& image = **oldest;
    if (!goes_on(image)) return;
    if (!image.is_idle()) {
      next = oldest;
      continue;
    }
    num_bytes_ -= image.num_bytes;
    places_.erase(image.key);
    dropped.splice(dropped.end(), images_, oldest);
  }
}

// Unless it is forgotten already.
void ImageCache::Forget(const std::shared_ptr<Image>& image) {
  const auto place = places_.find(image->key);
  if (place == places_.end() || *place->second != image) return;
  num_bytes_ -= image->num_bytes;
  images_.erase(place->second);
  places_.erase(place);
}

}  // namespace jax_npu
