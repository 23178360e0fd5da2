// Vectors of the host CPU, through GCC's extension, and the name of its instruction set.
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

// The first n elements of v, w, v, w, ...
template <typename V, int... i>
inline auto Joined(V v, V w, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(v, w, i % (2 * sizeof(V) / sizeof(v[0]))...);
}
template <unsigned n, typename V>
inline auto Join(V v, V w) {
  return Joined(v, w, std::make_integer_sequence<int, n>());
}

template <typename V>
inline V Max(V a, V b) {
  return a > b ? a : b;
}

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
