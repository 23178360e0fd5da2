#include "npu_arithmetic.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace jax_npu {
namespace {
#include "bf16.inc"

constexpr int64_t kLanes = 64;  // columns decoded at a time
constexpr int32_t kNotFinite = 255, kExponentBias = 127, kMantissaBits = 6;

// The biased exponent; denormal values have that of the smallest normal one.
int32_t ExponentOf(uint16_t bits) { return std::max(bits >> 7 & 255, 1); }

// An 8-bit mantissa with 6 bits after the point, under an exponent that is
// `exponents_below` above the value's own.
template <bool floor>
int32_t Bfp16Mantissa(uint16_t bits, int32_t exponents_below) {
  const int32_t hidden = (bits & 0x7F80) != 0 ? 128 : 0;
  const int32_t magnitude = (bits & 127) | hidden;
  const int32_t value = (bits & 0x8000) != 0 ? -magnitude : magnitude;
  // Of the 8 significant bits the sign takes one.
  const int32_t shift = std::min(exponents_below + 1, 12);
  const int32_t half = floor ? 0 : (1 << (shift - 1)) - 1 + (value >> shift & 1);
  return std::min((value + half) >> shift, 127);
}

// 2^(exponent - bias - kMantissaBits), NaN for the exponent of what is not finite.
double ScaleOf(int32_t exponent) {
  if (exponent == kNotFinite) return __builtin_nan("");
  const int64_t of_double = exponent - kExponentBias - kMantissaBits + 1023;
  const int64_t bits = of_double << 52;
  double scale;
  __builtin_memcpy(&scale, &bits, sizeof scale);
  return scale;
}

template <bool floor>
void RoundRowsToBfp16(const uint16_t* rows, int64_t count, int64_t n, float* values) {
  for (int64_t first = 0; first < n; first += kLanes) {
    const int64_t num_lanes = std::min(kLanes, n - first);
    int32_t largest[kLanes] = {};
    double scales[kLanes];
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t lane = 0; lane < num_lanes; ++lane) {
        const int32_t exponent = ExponentOf(rows[i * n + first + lane]);
        largest[lane] = std::max(largest[lane], exponent);
      }
    }
    for (int64_t lane = 0; lane < num_lanes; ++lane) {
      scales[lane] = ScaleOf(largest[lane]);
    }
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t lane = 0; lane < num_lanes; ++lane) {
        const uint16_t bits = rows[i * n + first + lane];
        const int32_t mantissa =
            Bfp16Mantissa<floor>(bits, largest[lane] - ExponentOf(bits));
        values[i * n + first + lane] = static_cast<float>(mantissa * scales[lane]);
      }
    }
  }
}

}  // namespace

const char* NameOf(NpuArithmetic arithmetic) {
  switch (arithmetic) {
    case NpuArithmetic::kF32:
      return "f32";
    case NpuArithmetic::kBfp16:
      return "bfp16";
    case NpuArithmetic::kBfp16Floor:
      return "bfp16_floor";
    case NpuArithmetic::kOther:
      break;
  }
  return "other";
}

NpuArithmetic ParseArithmetic(std::string_view name) {
  for (const auto known : {NpuArithmetic::kF32, NpuArithmetic::kBfp16}) {
    if (name == NameOf(known)) return known;
  }
  throw std::invalid_argument("arithmetic must be f32 or bfp16, got " +
                              std::string(name));
}

void DecodeRows(NpuArithmetic arithmetic, const uint16_t* rows, int64_t count,
                int64_t n, float* values) {
  if (arithmetic == NpuArithmetic::kBfp16) {
    return RoundRowsToBfp16<false>(rows, count, n, values);
  }
  if (arithmetic == NpuArithmetic::kBfp16Floor) {
    return RoundRowsToBfp16<true>(rows, count, n, values);
  }
  for (int64_t i = 0; i < count * n; ++i) values[i] = FromBits(uint32_t{rows[i]} << 16);
}

}  // namespace jax_npu
