// Working memory that a thread keeps between calls.

#ifndef JAX_NPU_XLA_FFI_HOST_SCRATCH_H_
#define JAX_NPU_XLA_FFI_HOST_SCRATCH_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>

namespace jax_npu {

constexpr int64_t kLineBytes = 64;  // a line of the caches

// A mapping of its own, followed by a page that nobody may touch. A block of malloc
// would lie behind XLA's temporary memory and outlive it; the gap that XLA then freed
// was too small for its next step, which took new pages for a second time.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { Free(); }

  // Returns memory for at least so many values, aligned to a line of the caches. Grows
  // to the largest size asked for; growing loses the content.
  template <typename T>
  T* Reserve(size_t size) {
    const size_t num_bytes = RoundUp(size * sizeof(T), kLineBytes);
    if (num_bytes > num_bytes_) {
      Free();
      Map(num_bytes);
    }
    return reinterpret_cast<T*>(data_);
  }

 private:
  static size_t RoundUp(size_t value, size_t factor) {
    return (value + factor - 1) / factor * factor;
  }

  void Map(size_t num_bytes) {
    const size_t page = sysconf(_SC_PAGESIZE);
    const size_t writable = RoundUp(num_bytes, page);
    void* mapping = mmap(nullptr, writable + page, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) throw std::bad_alloc();
    mapping_ = mapping;
    mapped_bytes_ = writable + page;
    if (mprotect(mapping, writable, PROT_READ | PROT_WRITE) != 0) {
      throw std::bad_alloc();
    }
    madvise(mapping, writable, MADV_HUGEPAGE);  // it works without
    data_ = static_cast<char*>(mapping) + writable - num_bytes;
    num_bytes_ = num_bytes;
  }

  void Free() {
    if (mapping_ != nullptr) munmap(mapping_, mapped_bytes_);
    mapping_ = nullptr;
    data_ = nullptr;
    num_bytes_ = 0;
  }

  void* mapping_ = nullptr;
  size_t mapped_bytes_ = 0;
  char* data_ = nullptr;
  size_t num_bytes_ = 0;
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_SCRATCH_H_
