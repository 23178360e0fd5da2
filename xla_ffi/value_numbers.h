// Numbers for values of XLA's programs, by which products know that they read the same.
//
// A program asks for the number of each operand in a call of its own, whose only
// operand is that value. XLA merges equal calls, so all products of a value get one
// number. The call returns another number whenever it is executed: a number never
// stands for two values, whatever XLA does with the calls, and at worst a value has
// several.
//
// XLA lays numbers into memory that other numbers had before, and has whatever writes
// to memory wait for the calls that read it. A product ends when the NPU has computed,
// so that one which read numbers would hold up all products after it. So a call that
// ends at once copies both numbers to the memory of the product's result, from where
// the product takes them before it writes there: the result carries the numbers.

#ifndef JAX_NPU_XLA_FFI_VALUE_NUMBERS_H_
#define JAX_NPU_XLA_FFI_VALUE_NUMBERS_H_

#include <atomic>
#include <cstdint>
#include <cstring>
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

// Numbers of lhs and rhs at the beginning of a result's memory.
constexpr size_t kCarriedBytes = 2 * sizeof(int64_t);

inline char* CarriedNumbers(const ::xla::ffi::AnyBuffer& result) {
  if (result.size_bytes() >= kCarriedBytes) {
    return static_cast<char*>(result.untyped_data());
  }
  throw std::invalid_argument("a result that carries numbers has at least " +
                              std::to_string(kCarriedBytes) + " bytes, got " +
                              std::to_string(result.size_bytes()));
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_VALUE_NUMBERS_H_
