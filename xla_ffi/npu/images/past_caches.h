// Stores that leave the caches alone, for what nobody reads soon: a cached store first
// reads the line that it overwrites, and evicts another.

#ifndef JAX_NPU_XLA_FFI_NPU_IMAGES_PAST_CACHES_H_
#define JAX_NPU_XLA_FFI_NPU_IMAGES_PAST_CACHES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace jax_npu {

constexpr size_t kCacheLine = 64, kStoredVector = 16;

// Copies a vector to where vectors are aligned. The CPU collects a line before it
// writes it. FinishStores must follow in the same thread, here and below.
inline void StoreVectorPastCaches(const void* from, void* to) {
#if defined(__SSE2__)
  _mm_stream_si128(static_cast<__m128i*>(to),
                   _mm_loadu_si128(static_cast<const __m128i*>(from)));
#else
  std::memcpy(to, from, kStoredVector);
#endif
}

// Copies bytes to anywhere; the whole lines among them go past the caches.
inline void StorePastCaches(const void* from, size_t num_bytes, void* to) {
  const auto* source = static_cast<const char*>(from);
  auto* target = static_cast<char*>(to);
  const size_t to_line =
      (kCacheLine - reinterpret_cast<uintptr_t>(target) % kCacheLine) % kCacheLine;
  size_t done = std::min(to_line, num_bytes);
  std::memcpy(target, source, done);
  for (; done + kCacheLine <= num_bytes; done += kCacheLine) {
    for (size_t i = done; i < done + kCacheLine; i += kStoredVector) {
      StoreVectorPastCaches(source + i, target + i);
    }
  }
  std::memcpy(target + done, source + done, num_bytes - done);
}

// Orders stores past the caches before what follows: they are not ordered by
// themselves.
inline void FinishStores() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_IMAGES_PAST_CACHES_H_
