#include "xla_ffi/npu/verify/arithmetic.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace jax_npu {
namespace {
#include "xla_ffi/base/bf16.inc"

constexpr int64_t kLanes = 64;  // columns decoded at a time
constexpr int32_t kNotFinite = 255, kExponentBias = 127, kMantissaBits = 6;
// Adding and subtracting 1.5 * 2^23, where f32 has a step of 1, leaves whole numbers.
constexpr float kRounder = 0x1.8p23f;

float ToFloat(uint16_t bits) { return FromBits(uint32_t{bits} << 16); }

// The biased exponent; denormal values have that of the smallest normal one.
int32_t ExponentOf(uint16_t bits) {
  const int32_t exponent = bits >> 7 & 255;
  return exponent == 0 ? 1 : exponent;
}

float PowerOfTwo(int32_t exponent) {
  return FromBits(static_cast<uint32_t>(exponent + kExponentBias) << 23);
}

// 2^n and 2^-n as products of two, since one alone may leave f32's range.
struct Scale {
  float up[2], down[2];
};

// The scale that leaves a value below 2^(e + 1) with kMantissaBits before the point,
// for the biased exponent e: n = kMantissaBits - (e - kExponentBias).
Scale ScaleFor(int32_t exponent) {
  const int32_t n = kExponentBias + kMantissaBits - exponent, half = n / 2;
  return {{PowerOfTwo(half), PowerOfTwo(n - half)},
          {PowerOfTwo(-half), PowerOfTwo(half - n)}};
}

// Rounds to a mantissa of 8 bits with its sign. Magnitudes are below 128, so only 128,
// which rounding up may reach, is out of range: it becomes 127.
template <bool floor>
float RoundMantissa(float scaled) {
  float rounded = scaled + kRounder - kRounder;  // to nearest even
  if (floor) rounded -= rounded > scaled ? 1.0f : 0.0f;
  return rounded < 127.0f ? rounded : 127.0f;
}

// value = round(x 2^n) 2^-n, where n follows from the largest exponent of the block,
// for each of up to kLanes columns.
template <bool floor>
void RoundToBfp16(const uint16_t* rows, int64_t stride, int64_t count,
                  int64_t num_lanes, int64_t n, float* values) {
  int32_t largest[kLanes] = {};  // biased exponent of each column's block
  float up0[kLanes], up1[kLanes], down0[kLanes], down1[kLanes];
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t lane = 0; lane < num_lanes; ++lane) {
      const int32_t exponent = ExponentOf(rows[i * stride + lane]);
      largest[lane] = exponent > largest[lane] ? exponent : largest[lane];
    }
  }
  for (int64_t lane = 0; lane < num_lanes; ++lane) {
    const Scale scale = ScaleFor(largest[lane]);
    up0[lane] = scale.up[0];
    up1[lane] = scale.up[1];
    down0[lane] = largest[lane] == kNotFinite ? __builtin_nanf("") : scale.down[0];
    down1[lane] = scale.down[1];
  }
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t lane = 0; lane < num_lanes; ++lane) {
      const float scaled = ToFloat(rows[i * stride + lane]) * up0[lane] * up1[lane];
      const float mantissa = RoundMantissa<floor>(scaled);
      values[i * n + lane] = mantissa * down1[lane] * down0[lane];
    }
  }
}

template <bool floor>
void RoundRowsToBfp16(const uint16_t* rows, int64_t stride, int64_t count, int64_t n,
                      float* values) {
  for (int64_t first = 0; first < n; first += kLanes) {
    RoundToBfp16<floor>(rows + first, stride, count, std::min(kLanes, n - first), n,
                        values + first);
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

void DecodeRows(NpuArithmetic arithmetic, const uint16_t* rows, int64_t stride,
                int64_t count, int64_t n, float* values) {
  if (arithmetic == NpuArithmetic::kBfp16) {
    return RoundRowsToBfp16<false>(rows, stride, count, n, values);
  }
  if (arithmetic == NpuArithmetic::kBfp16Floor) {
    return RoundRowsToBfp16<true>(rows, stride, count, n, values);
  }
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < n; ++j) values[i * n + j] = ToFloat(rows[i * stride + j]);
  }
}

}  // namespace jax_npu
