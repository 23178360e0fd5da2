// Vectors of the host CPU, through GCC's extension, and the name of its instruction
// set.
//
// Everything of this header that is compiled once per instruction set lies in an inline
// namespace of that name: the linker must not choose among them.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef AIE_HOST_ISA
#define AIE_HOST_ISA portable
#endif

// Kernels inline 16 uses of a function, over which GCC 12 is slow or crashes.
#define AIE_HOST_NOINLINE __attribute__((noinline))

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

// Doubles in a register.
#if defined(__AVX512F__) && defined(__AVX512BW__)
constexpr unsigned kLanes = 8;
#elif defined(__AVX2__)
constexpr unsigned kLanes = 4;
#else
constexpr unsigned kLanes = 2;
#endif

template <typename T, unsigned n>
struct VecOf {
  typedef T Type __attribute__((vector_size(n * sizeof(T))));
};
template <typename T, unsigned n>
using Vec = typename VecOf<T, n>::Type;

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

// The same bits as another type.
template <typename To, typename From>
inline To Bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// n copies of x. Nothing is subtracted: x - 0 is x, also for -0.
template <unsigned n, typename T>
inline Vec<T, n> Splat(T x) {
  return x - Vec<T, n>{};
}

template <typename V, int... i>
inline auto Shuffled(V v, std::integer_sequence<int, i...>) {
  constexpr int kSize = sizeof(V) / sizeof(v[0]);
  return __builtin_shufflevector(v, v, i % kSize...);
}

// The vector at `from`, repeated to n elements.
template <unsigned n, typename V, typename T>
inline Vec<T, n> Repeat(const T* from) {
#if defined(__AVX512F__) && defined(__AVX512BW__)
  if constexpr (sizeof(V) == 16 && n * sizeof(T) == 64) {
    return Bits<Vec<T, n>>(_mm512_maskz_broadcast_i32x4(0xFFFF, Load<__m128i>(from)));
  } else if constexpr (sizeof(V) == 32 && n * sizeof(T) == 64) {
    return Bits<Vec<T, n>>(_mm512_maskz_broadcast_i64x4(0xFF, Load<__m256i>(from)));
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(V) == 16 && n * sizeof(T) == 32) {
    return Bits<Vec<T, n>>(_mm256_broadcastsi128_si256(Load<__m128i>(from)));
  }
#endif
  return Shuffled(Load<V>(from), std::make_integer_sequence<int, n>());
}

// Elements converted to another type. GCC 12 splits what AVX-512 has instructions for,
// and warns of its own unmasked intrinsics.
template <typename To, typename From>
inline To Convert(From from) {
#if defined(__AVX512F__) && defined(__AVX512BW__)
  if constexpr (__is_same(From, Vec<float, 8>) && __is_same(To, Vec<double, 8>)) {
    return _mm512_maskz_cvtps_pd(0xFF, from);
  } else if constexpr (__is_same(From, Vec<std::int32_t, 8>) &&
                       __is_same(To, Vec<std::int64_t, 8>)) {
    return Bits<To>(_mm512_maskz_cvtepi32_epi64(0xFF, Bits<__m256i>(from)));
  } else if constexpr (__is_same(From, Vec<std::int64_t, 8>) &&
                       __is_same(To, Vec<std::int32_t, 8>)) {
    return Bits<To>(_mm512_maskz_cvtepi64_epi32(0xFF, Bits<__m512i>(from)));
  } else if constexpr (__is_same(From, Vec<std::int16_t, 8>)) {
    return Bits<To>(_mm256_cvtepi16_epi32(Bits<__m128i>(from)));
  } else if constexpr (__is_same(From, Vec<std::uint16_t, 8>)) {
    return Bits<To>(_mm256_cvtepu16_epi32(Bits<__m128i>(from)));
  }
#endif
  return __builtin_convertvector(from, To);
}

template <typename V>
inline V Max(V a, V b) {
  return a > b ? a : b;
}

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
