// AIE2's bf16 mac, one output lane at a time in integers. The vector form is tested
// against this definition, and blocks with infinities or NaNs are computed by it.
//
// All code that is compiled once per instruction set lies in an inline namespace of its
// name, so that the linker does not choose among the copies.
#pragma once

#include <cstdint>
#include <cstring>

#ifndef AIE_HOST_ISA
#define AIE_HOST_ISA portable
#endif

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

// The same bits as another type.
template <typename To, typename From>
inline To Bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

constexpr std::uint32_t kInfinity = 0x7F800000;
constexpr std::uint32_t kNan = 0x7FC00000;
constexpr int kGridBits = 23;  // the grid's unit is 2^(e - 23), e the largest exponent

// value / 2^shift, rounded to nearest even.
inline std::int64_t ShiftRight(std::int64_t value, int shift) {
  if (shift <= 0) return value;
  if (shift > 40) return 0;  // |value| < 2^31
  const std::int64_t odd = (value >> shift) & 1;
  return (value + (std::int64_t{1} << (shift - 1)) - 1 + odd) >> shift;
}

// sum * 2^(exponent - 23) as the bits of an f32, rounded once.
inline std::uint32_t Normalize(std::int64_t sum, int exponent) {
  if (sum == 0) return 0;
  const std::uint32_t sign = sum < 0 ? 0x80000000 : 0;
  const std::int64_t magnitude = sum < 0 ? -sum : sum;
  int top = 63 - __builtin_clzll(magnitude);  // magnitude is in [2^top, 2^(top + 1))
  std::int64_t significand =
      top <= 23 ? magnitude << (23 - top) : ShiftRight(magnitude, top - 23);
  if (significand >> 24 != 0) {  // rounded up to 2^24
    significand >>= 1;
    ++top;
  }
  // The value is 2^(exponent - 23) * 2^top * [1, 2); 127 is f32's bias.
  const int field = exponent + top - kGridBits + 127;
  if (field <= 0) return 0;
  if (field >= 255) return sign | kInfinity;
  return sign | (std::uint32_t(field) << 23) | (significand & 0x7FFFFF);
}

// acc + sum_k a[k] * b[k * b_stride] over 8 k. acc and the result are bits of f32, a
// and b bits of bf16.
//
// Term i has the value terms[i] * 2^(exponents[i] - 23); the accumulator is term 8.
inline std::uint32_t MacReference(std::uint32_t acc, const std::uint16_t* a,
                                  const std::uint16_t* b, unsigned b_stride) {
  std::int64_t terms[9];
  int exponents[9];
  bool is_nan = false, positive_infinity = false, negative_infinity = false;

  for (int k = 0; k < 8; ++k) {
    const unsigned x = a[k], y = b[k * b_stride];
    const bool negative = (x ^ y) & 0x8000;
    const int x_field = x >> 7 & 255, y_field = y >> 7 & 255;
    const int x_significand = (x & 127) | (x_field ? 128 : 0);
    const int y_significand = (y & 127) | (y_field ? 128 : 0);
    if (x_field == 255 || y_field == 255) {
      // A NaN factor, or infinity times zero.
      is_nan |= (x_field == 255 && (x & 127)) || (y_field == 255 && (y & 127)) ||
                !x_significand || !y_significand;
      (negative ? negative_infinity : positive_infinity) = true;
    }
    // Significands count units of 2^-7, so the product counts 2^-14; the grid is 2^-23.
    const std::int64_t product = x_significand * y_significand;
    terms[k] = (negative ? -product : product) * (1 << (kGridBits - 14));
    exponents[k] = (x_field ? x_field : 1) + (y_field ? y_field : 1) - 2 * 127;
  }
  {
    const bool negative = acc >> 31;
    const int field = acc >> 23 & 255;
    const std::int64_t significand = (acc & 0x7FFFFF) | (field ? 0x800000 : 0);
    if (field == 255) {
      is_nan |= (acc & 0x7FFFFF) != 0;
      (negative ? negative_infinity : positive_infinity) = true;
    }
    terms[8] = negative ? -significand : significand;
    exponents[8] = (field ? field : 1) - 127;
  }
  if (is_nan || (positive_infinity && negative_infinity)) return kNan;
  if (positive_infinity) return kInfinity;
  if (negative_infinity) return 0x80000000 | kInfinity;

  int largest = -1000;  // below all exponents, which are at least -252
  for (int i = 0; i < 9; ++i) {
    if (terms[i] != 0 && exponents[i] > largest) largest = exponents[i];
  }
  std::int64_t sum = 0;
  for (int i = 0; i < 9; ++i) {
    if (terms[i] != 0) sum += ShiftRight(terms[i], largest - exponents[i]);
  }
  return Normalize(sum, largest);
}

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
