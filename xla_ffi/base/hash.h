// A hash that tells sequences of numbers apart; not for untrusted input.

#ifndef JAX_NPU_XLA_FFI_BASE_HASH_H_
#define JAX_NPU_XLA_FFI_BASE_HASH_H_

#include <cstdint>

namespace jax_npu {

// FNV-1a, number by number. A seed gives another hash of the same numbers.
class Hash {
 public:
  explicit Hash(uint64_t seed = 0) : value_(0xCBF29CE484222325u ^ seed) {}

  void Add(uint64_t number) { value_ = (value_ ^ number) * 0x100000001B3u; }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_;
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_BASE_HASH_H_
