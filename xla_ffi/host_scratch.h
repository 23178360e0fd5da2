// Memory that a thread keeps between calls.

#ifndef JAX_NPU_XLA_FFI_HOST_SCRATCH_H_
#define JAX_NPU_XLA_FFI_HOST_SCRATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace jax_npu {

// Grows to the largest size asked for. What it held is lost then.
class Scratch {
 public:
  template <typename T>
  T* Reserve(size_t size) {
    const size_t num_bytes = size * sizeof(T);
    if (num_bytes > num_bytes_) {
      data_.reset();
      num_bytes_ = 0;
      data_.reset(static_cast<char*>(::operator new(num_bytes, kAlignment)));
      num_bytes_ = num_bytes;
    }
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  static constexpr std::align_val_t kAlignment{64};  // a line of the cache
  struct Free {
    void operator()(char* data) const { ::operator delete(data, kAlignment); }
  };
  std::unique_ptr<char, Free> data_;
  size_t num_bytes_ = 0;
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_SCRATCH_H_
