// Arithmetic of core programs on single floats, as the compiler's runtime does it in
// software: in IEEE's formats, rounded to nearest even. Slots hold the bits.

#ifndef JAX_NPU_AIE_SIM_ENGINE_CORE_FLOATS_H_
#define JAX_NPU_AIE_SIM_ENGINE_CORE_FLOATS_H_

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "aie/sim/engine/core/integers.h"
#include "aie/sim/program/configuration.h"

namespace jax_npu::sim {

// Every bf16 and f32 is a double.
inline double FloatOf(FloatFormat format, int64_t bits) {
  const auto low = static_cast<uint32_t>(bits);
  switch (format) {
    case FloatFormat::kBf16:
      return std::bit_cast<float>(low << 16);
    case FloatFormat::kF32:
      return std::bit_cast<float>(low);
    case FloatFormat::kF64:
      return std::bit_cast<double>(bits);
  }
  return 0;
}

inline uint32_t RoundedToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return bits >> 16 | 0x40;  // stays one
  return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

// A double that is the exact result, or was rounded from it: a double has more than
// twice the bits of an f32, and that more than twice those of a bf16, so that rounding
// again gives what rounding once would (Figueroa, When is double rounding innocuous?).
// From an integer a bf16 is made by way of an f32, as compilers do.
inline int64_t BitsOf(FloatFormat format, double value) {
  switch (format) {
    case FloatFormat::kBf16:
      return RoundedToBf16(static_cast<float>(value));
    case FloatFormat::kF32:
      return std::bit_cast<uint32_t>(static_cast<float>(value));
    case FloatFormat::kF64:
      return std::bit_cast<int64_t>(value);
  }
  return 0;
}

inline double Apply(FloatOperation operation, double a, double b) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const bool either_is_nan = std::isnan(a) || std::isnan(b);
  // The positive zero is larger than the negative one.
  const bool less = a < b || (a == b && std::signbit(a) && !std::signbit(b));
  switch (operation) {
    case FloatOperation::kAdd:
      return a + b;
    case FloatOperation::kSub:
      return a - b;
    case FloatOperation::kMul:
      return a * b;
    case FloatOperation::kDiv:
      return a / b;
    case FloatOperation::kMin:
      return either_is_nan ? kNan : less ? a : b;
    case FloatOperation::kMax:
      return either_is_nan ? kNan : less ? b : a;
    case FloatOperation::kMinNum:
      return std::isnan(a) ? b : std::isnan(b) || less ? a : b;
    case FloatOperation::kMaxNum:
      return std::isnan(a) ? b : std::isnan(b) || !less ? a : b;
    case FloatOperation::kNeg:
      return -a;
    case FloatOperation::kAbs:
      return std::fabs(a);
    case FloatOperation::kCeil:
      return std::ceil(a);
    case FloatOperation::kFloor:
      return std::floor(a);
    case FloatOperation::kRoundEven:
      return std::nearbyint(a);
    case FloatOperation::kSqrt:
      return std::sqrt(a);
    case FloatOperation::kTrunc:
      return std::trunc(a);
  }
  return kNan;
}

// The predicates of arith.cmpf, in its numbering: 1-6 need ordered operands, 8-13 are
// the same or hold if one is NaN, and 0, 7, 14 and 15 are false, ord, uno and true.
inline bool FloatHolds(int predicate, double a, double b) {
  const bool unordered = std::isnan(a) || std::isnan(b);
  switch (predicate) {
    case 0:
      return false;
    case 7:
      return !unordered;
    case 14:
      return unordered;
    case 15:
      return true;
    default:
      break;
  }
  if (unordered) return predicate > 7;
  switch (predicate > 7 ? predicate - 7 : predicate) {
    case 1:
      return a == b;
    case 2:
      return a > b;
    case 3:
      return a >= b;
    case 4:
      return a < b;
    case 5:
      return a <= b;
    default:
      return a != b;
  }
}

// The nearest float; of a bf16 the nearest to the nearest f32, as compilers make it.
inline int64_t FloatFrom(FloatFormat format, bool is_signed, int bits, int64_t value) {
  if (is_signed) {
    const int64_t number = Signed(value, bits);
    if (format == FloatFormat::kF64) return BitsOf(format, static_cast<double>(number));
    return BitsOf(format, static_cast<float>(number));
  }
  const uint64_t number = ZeroExtended(value, bits);
  if (format == FloatFormat::kF64) return BitsOf(format, static_cast<double>(number));
  return BitsOf(format, static_cast<float>(number));
}

// Rounded towards zero; what does not fit is the nearest number that does, and NaN is
// 0.
inline int64_t IntegerFrom(bool is_signed, int bits, double value) {
  if (std::isnan(value)) return 0;
  const double limit = std::ldexp(1.0, is_signed ? bits - 1 : bits);
  if (is_signed) {
    if (value >= limit) return Wrapped((uint64_t{1} << (bits - 1)) - 1, bits);
    if (value < -limit) return Wrapped(uint64_t{1} << (bits - 1), bits);
    return Wrapped(static_cast<int64_t>(value), bits);
  }
  if (value <= 0) return 0;
  if (value >= limit) return Wrapped(-1, bits);
  return Wrapped(static_cast<int64_t>(static_cast<uint64_t>(value)), bits);
}

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_CORE_FLOATS_H_
