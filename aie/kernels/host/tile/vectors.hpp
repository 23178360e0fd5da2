// Vectors of the host CPU, through GCC's vector extension.
#pragma once

#include <cstring>
#include <new>
#include <utility>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "../aie_api/reference.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

// The 32-bit lanes of a register: a divisor of 16, the granule of m and n.
#if defined(__AVX512F__) && defined(__AVX512BW__)
constexpr unsigned kLanes = 16;
#elif defined(__AVX2__)
constexpr unsigned kLanes = 8;
#else
constexpr unsigned kLanes = 4;
#endif

template <typename T, unsigned n>
struct VecOf {
  typedef T Type __attribute__((vector_size(n * sizeof(T))));
};
template <typename T, unsigned n>
using Vec = typename VecOf<T, n>::Type;

using F32 = Vec<float, kLanes>;
using I32 = Vec<std::int32_t, kLanes>;
using U16 = Vec<std::uint16_t, kLanes>;
using I16 = Vec<std::int16_t, 2 * kLanes>;
using F64 = Vec<double, kLanes / 2>;
using U64 = Vec<std::uint64_t, kLanes / 2>;
using F32Half = Vec<float, kLanes / 2>;

template <typename V, typename T>
inline V Load(const T* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

template <typename V, typename T>
inline void Store(T* to, V v) {
  std::memcpy(to, &v, sizeof v);
}

// x in every lane. x - 0 is x, also for -0, and the scalar becomes a vector.
template <typename V, typename T>
inline V Splat(T x) {
  return x - V{};
}

template <typename V>
inline V Max(V a, V b) {
  return a > b ? a : b;
}

// Elements converted to another type. GCC 12 splits conversions for which AVX has
// single instructions, so those are named here; it warns of the unmasked intrinsics of
// AVX-512 in its own header, so the masked ones are used.
template <typename To, typename From>
inline To Convert(From from) {
#if defined(__AVX512F__) && defined(__AVX512BW__)
  if constexpr (__is_same(From, F32Half) && __is_same(To, F64)) {
    return _mm512_maskz_cvtps_pd(0xFF, from);
  } else if constexpr (__is_same(From, F64) && __is_same(To, F32Half)) {
    return _mm512_maskz_cvtpd_ps(0xFF, from);
  } else if constexpr (__is_same(From, U16) && __is_same(To, I32)) {
    return Bits<To>(_mm512_maskz_cvtepu16_epi32(0xFFFF, Bits<__m256i>(from)));
  } else if constexpr (__is_same(From, Vec<std::uint16_t, 8>)) {
    return Bits<To>(_mm256_cvtepu16_epi32(Bits<__m128i>(from)));
  } else if constexpr (__is_same(From, Vec<std::int16_t, 16>) && __is_same(To, I32)) {
    return Bits<To>(_mm512_maskz_cvtepi16_epi32(0xFFFF, Bits<__m256i>(from)));
  } else if constexpr (__is_same(From, I32) && __is_same(To, U16)) {
    return Bits<To>(_mm512_maskz_cvtepi32_epi16(0xFFFF, Bits<__m512i>(from)));
  }
#elif defined(__AVX2__)
  if constexpr (__is_same(From, F32Half) && __is_same(To, F64)) {
    return _mm256_cvtps_pd(from);
  } else if constexpr (__is_same(From, F64) && __is_same(To, F32Half)) {
    return _mm256_cvtpd_ps(from);
  } else if constexpr (__is_same(From, U16) && __is_same(To, I32)) {
    return Bits<To>(_mm256_cvtepu16_epi32(Bits<__m128i>(from)));
  } else if constexpr (__is_same(From, Vec<std::int16_t, 8>) && __is_same(To, I32)) {
    return Bits<To>(_mm256_cvtepi16_epi32(Bits<__m128i>(from)));
  }
#endif
  return __builtin_convertvector(from, To);
}

// From bits of bf16, which are the upper half of an f32.
inline F32 ToF32(const std::uint16_t* from) {
  return Bits<F32>(Convert<I32>(Load<U16>(from)) << 16);
}

inline F64 ToF64(const std::uint16_t* from) {
  using I32Half = Vec<std::int32_t, kLanes / 2>;
  const auto bits = Load<Vec<std::uint16_t, kLanes / 2>>(from);
  return Convert<F64>(Bits<F32Half>(Convert<I32Half>(bits) << 16));
}

template <unsigned first, int... i>
inline F32Half HalfFrom(F32 x, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(x, x, int(first) + i...);
}

// The lower (0) or upper (1) half of the lanes, as doubles.
template <unsigned half>
inline F64 HalfToF64(F32 x) {
  return Convert<F64>(
      HalfFrom<half * kLanes / 2>(x, std::make_integer_sequence<int, kLanes / 2>()));
}

template <int... i>
inline F32 Joined(F32Half a, F32Half b, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(a, b, i...);
}

// Both halves, each rounded once.
inline F32 ToF32(F64 low, F64 high) {
  return Joined(Convert<F32Half>(low), Convert<F32Half>(high),
                std::make_integer_sequence<int, kLanes>());
}

// x y + sum, rounded once.
inline F32 Fused(F32 x, F32 y, F32 sum) {
#if defined(__AVX512F__) && defined(__AVX512BW__)
  return _mm512_fmadd_ps(x, y, sum);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(x, y, sum);
#else
  for (unsigned j = 0; j < kLanes; ++j) sum[j] = __builtin_fmaf(x[j], y[j], sum[j]);
  return sum;
#endif
}

// x, but +0 where |x| < 2^-126.
inline F32 Flushed(F32 x) {
  const I32 word = Bits<I32>(x);
  return Bits<F32>((word & 0x7F800000) == 0 ? I32{} : word);
}

// Memory that only grows. Its content is lost when it does.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  ~Buffer() { operator delete[](data_, kAlignment); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  T* AtLeast(std::size_t size) {
    if (size > size_) {
      operator delete[](data_, kAlignment);
      data_ = nullptr;
      size_ = 0;
      data_ = static_cast<T*>(operator new[](size * sizeof(T), kAlignment));
      size_ = size;
    }
    return data_;
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
