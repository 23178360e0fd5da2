// Numbers for values of XLA's programs, by which products know that they read the same.
//
// A program asks for the number of each operand in a call of its own, whose only
// operand is that value. XLA merges equal calls, so all products of a value get one
// number. The call returns another number whenever it is executed: a number never
// stands for two values, whatever XLA does with the calls, and at worst a value has
// several.

#ifndef JAX_NPU_XLA_FFI_VALUE_NUMBERS_H_
#define JAX_NPU_XLA_FFI_VALUE_NUMBERS_H_

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "xla/ffi/api/ffi.h"

namespace jax_npu {

// As a program holds it: the low and the high half.
using ValueNumber = ::xla::ffi::BufferR1<::xla::ffi::U32>;
constexpr size_t kNumberWords = 2;

inline int64_t NextValueNumber() {
  static std::atomic<int64_t> latest{0};
  return latest.fetch_add(1, std::memory_order_relaxed) + 1;
}

// Throws std::invalid_argument for an array of another size.
inline uint32_t* WordsOf(const ValueNumber& number) {
  if (number.element_count() == kNumberWords) return number.typed_data();
  throw std::invalid_argument("the number of a value has 2 words, got " +
                              std::to_string(number.element_count()));
}

inline void EncodeNumber(int64_t value, const ValueNumber& number) {
  uint32_t* words = WordsOf(number);
  words[0] = static_cast<uint32_t>(value);
  words[1] = static_cast<uint32_t>(static_cast<uint64_t>(value) >> 32);
}

inline int64_t DecodeNumber(const ValueNumber& number) {
  const uint32_t* words = WordsOf(number);
  return static_cast<int64_t>(uint64_t{words[1]} << 32 | words[0]);
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_VALUE_NUMBERS_H_
