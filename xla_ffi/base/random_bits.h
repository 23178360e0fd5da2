// Random bits for tests and samples; not for secrets.

#ifndef JAX_NPU_XLA_FFI_BASE_RANDOM_BITS_H_
#define JAX_NPU_XLA_FFI_BASE_RANDOM_BITS_H_

#include <cstdint>

namespace jax_npu {

// Steele, Lea and Flood's SplitMix64: advances the state and returns 64 bits.
inline uint64_t NextRandom(uint64_t& state) {
  uint64_t z = state += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_BASE_RANDOM_BITS_H_
