// aie_api's names for the host's compiler, with the array's arithmetic. The kernels of
// aie/kernels compile against it as they do against aie_api itself; it has only what
// they use.
//
// accauto and accfloat select AIE2's bf16 mac, c + sum_k a_k b_k over a block of 8 k.
// For each output, let e be the largest exponent among the 8 products and the
// accumulator. Each of these 9 terms is rounded to a multiple of 2^(e - 23) (to nearest
// even), their sum is exact, and it is rounded once to f32 (to nearest even). AMD's
// documents leave some cases open, which are chosen here:
//   - The exponent of a product is the sum of its factors' exponents, although its
//     significand may be almost 4.
//   - Terms that are zero have no exponent, so they never determine e.
//   - A denormal f32 accumulator takes part as bf16 denormals do: exponent 1, without
//     the hidden bit.
//   - The rounding to f32 has no smallest exponent; a result below 2^-126 then becomes
//     +0. An exact zero is +0, also when all terms are -0.
//   - inf - inf is NaN in any order of the terms; inf times a denormal is inf.
//   - Every NaN that a mac returns is 0x7FC00000: payloads and signs are lost.
//
// f32 is rounded to bf16 to nearest even or, as after power-up, towards minus infinity.
// Denormals are kept, overflow follows IEEE 754, and a NaN becomes the quiet NaN of its
// sign.
//
// The tags of aie::host select other macs. All but `fast` flush results below 2^-126 to
// +0:
//   - aie2p adds one product at a time, each with one rounding, as IEEE's fused
//     operation does. Its mean error relative to the sum of |a b| stays below 1e-6. On
//     silicon 7e-5 was measured, for data and lengths that were not published.
//   - bfp16 rounds 8 consecutive k of an operand to 8-bit mantissas that share the
//     largest exponent of the eight. Mantissas saturate at 127, and a block with an
//     infinity or a NaN makes NaN. Products are summed exactly and added with one
//     rounding. On operands uniform in [0, 1) and k = 768 its error is 2.5e-4; 2.4e-4
//     was measured.
//   - bfp16_floor rounds mantissas down: its error is 1.05e-2; 9.9e-3 was measured.
//   - fast is the CPU's own f32.
//
// AIE_HOST_AUTO names the tag that accauto and accfloat stand for in mmul instead of
// AIE2's mac, so that a source for AIE2P computes as its cores do.
//
// There are: bfloat16 as a type of bits, vectors of any element with load_v, store_v,
// zeros, transpose, filter_even and filter_odd, extract, get and set; accum of float
// with from_vector and to_vector; mmul of bfloat16 with k = 8; rounding modes floor and
// conv_even, in one register for all cores of a thread.
//
// The CPU must round to nearest and keep denormals while this code runs.
#pragma once

#include "other_macs.hpp"

#ifndef AIE_HOST_AUTO
#define AIE_HOST_AUTO accauto
#endif

struct bfloat16 {
  std::uint16_t bits;
};

struct accfloat {};
struct accauto {};

namespace aie {

enum class rounding_mode : unsigned { floor = 0, conv_even = 12 };

inline namespace AIE_HOST_ISA {

namespace host {
struct aie2p {};
struct bfp16 {};
struct bfp16_floor {};
struct fast {};

inline thread_local rounding_mode rounding = rounding_mode::floor;

// bf16 is the upper half of f32. x are the bits of an f32: adding 0x7FFF and the last
// kept bit makes the truncation round to nearest even; adding 0xFFFF to a negative
// number makes it round towards minus infinity.
inline std::uint16_t Round(std::uint32_t x, bool conv_even) {
  const std::uint32_t up = conv_even ? 0x7FFF + (x >> 16 & 1) : (x >> 31 ? 0xFFFF : 0);
  const bool is_nan = (x & 0x7FFFFFFF) > kInfinity;
  const std::uint32_t rounded = (x & 0x7FFFFFFF) == kInfinity ? x : x + up;
  return is_nan ? (x >> 31 << 15 | 0x7FC0) : rounded >> 16;
}
}  // namespace host

inline void set_rounding(rounding_mode mode) { host::rounding = mode; }
inline rounding_mode get_rounding() { return host::rounding; }

template <typename T, unsigned n>
class vector {
 public:
  static constexpr unsigned size() { return n; }
  T get(unsigned i) const { return values_[i]; }
  void set(T value, unsigned i) { values_[i] = value; }
  T* data() { return values_; }
  const T* data() const { return values_; }

  // Part i of n / size parts.
  template <unsigned size>
  vector<T, size> extract(unsigned i) const {
    static_assert(n % size == 0);
    vector<T, size> part;
    std::memcpy(part.data(), values_ + i * size, size * sizeof(T));
    return part;
  }

 private:
  alignas(64) T values_[n];
};

template <unsigned n, typename T>
inline vector<T, n> load_v(const T* from) {
  vector<T, n> v;
  std::memcpy(v.data(), from, n * sizeof(T));
  return v;
}

template <typename T, unsigned n>
inline void store_v(T* to, const vector<T, n>& v) {
  std::memcpy(to, v.data(), n * sizeof(T));
}

template <typename T, unsigned n>
inline vector<T, n> zeros() {
  const T from[n] = {};
  return load_v<n>(from);
}

// The transpose of a (rows, cols) matrix: (cols, rows).
template <typename T, unsigned n>
inline vector<T, n> transpose(const vector<T, n>& v, unsigned rows, unsigned cols) {
  T to[n];
  for (unsigned i = 0; i < rows; ++i) {
    for (unsigned j = 0; j < cols; ++j) to[j * rows + i] = v.get(i * cols + j);
  }
  return load_v<n>(to);
}

// The first, third, ... of v's runs of `step` elements.
template <typename T, unsigned n>
inline vector<T, n / 2> filter_even(const vector<T, n>& v, unsigned step = 1) {
  vector<T, n / 2> chosen;
  for (unsigned i = 0; i < n / 2; ++i) {
    chosen.set(v.get(i / step * 2 * step + i % step), i);
  }
  return chosen;
}

// The second, fourth, ... of them.
template <typename T, unsigned n>
inline vector<T, n / 2> filter_odd(const vector<T, n>& v, unsigned step = 1) {
  vector<T, n / 2> chosen;
  for (unsigned i = 0; i < n / 2; ++i) {
    chosen.set(v.get((i / step * 2 + 1) * step + i % step), i);
  }
  return chosen;
}

// n lanes of f32.
template <typename Tag, unsigned n>
class accum {
 public:
  void from_vector(const vector<float, n>& v) { *this = accum(v); }

  accum() = default;
  explicit accum(const vector<float, n>& v) {
    std::memcpy(lanes_, v.data(), sizeof lanes_);
  }
  explicit accum(const vector<bfloat16, n>& v) {
    for (unsigned i = 0; i < n; ++i) {
      lanes_[i] = host::Bits<float>(std::uint32_t{v.get(i).bits} << 16);
    }
  }

  template <typename T>
  vector<T, n> to_vector() const {
    if constexpr (sizeof(T) == sizeof(float)) {
      return load_v<n>(lanes_);
    } else {
      const bool conv_even = get_rounding() == rounding_mode::conv_even;
      T rounded[n];
      for (unsigned i = 0; i < n; ++i) {
        rounded[i].bits = host::Round(host::Bits<std::uint32_t>(lanes_[i]), conv_even);
      }
      return load_v<n>(rounded);
    }
  }

  float* data() { return lanes_; }

 private:
  alignas(64) float lanes_[n];
};

// C (r, t) += A (r, s) B (s, t), all row-major.
template <unsigned r, unsigned s, unsigned t, typename A, typename B,
          typename Tag = accauto>
class mmul {
  static_assert(s == 8 && (t == 4 || t == 8));

 public:
  static constexpr unsigned M = r, K = s, N = t;
  static constexpr unsigned size_A = r * s, size_B = s * t, size_C = r * t;

  mmul() = default;
  template <typename T>
  explicit mmul(const vector<T, size_C>& v) : sums_(v) {
    for (unsigned i = 0; i < size_C; ++i) {
      float& x = sums_.data()[i];
      if (x != x) x = host::Bits<float>(host::kNan);
    }
  }

  void mac(const vector<A, size_A>& a, const vector<B, size_B>& b) {
    std::uint16_t lhs[size_A], rhs[size_B];
    std::memcpy(lhs, a.data(), sizeof lhs);
    std::memcpy(rhs, b.data(), sizeof rhs);
    for (unsigned lane = 0; lane < size_C; ++lane) {
      float& sum = sums_.data()[lane];  // row lane / t, column lane % t
      sum = Mac(sum, lhs + lane / t * 8, rhs + lane % t);
    }
  }

  template <typename T>
  vector<T, size_C> to_vector() const {
    return sums_.template to_vector<T>();
  }

 private:
  // The tag that decides which mac it is.
  template <bool is_auto, typename Given>
  struct Chosen {
    using Type = Given;
  };
  template <typename Given>
  struct Chosen<true, Given> {
    using Type = AIE_HOST_AUTO;
  };
  static constexpr bool kIsAuto = __is_same(Tag, accauto) || __is_same(Tag, accfloat);
  using Multiplier = typename Chosen<kIsAuto, Tag>::Type;

  template <typename T>
  static constexpr bool kIs = __is_same(Multiplier, T);

  static float Mac(float acc, const std::uint16_t* a, const std::uint16_t* b) {
    if constexpr (kIs<host::aie2p>) {
      return host::MacSequential(acc, a, b, t);
    } else if constexpr (kIs<host::bfp16> || kIs<host::bfp16_floor>) {
      return host::MacBlocks(acc, a, b, t, kIs<host::bfp16_floor>);
    } else if constexpr (kIs<host::fast>) {
      return host::MacFast(acc, a, b, t);
    } else {
      const auto bits = host::Bits<std::uint32_t>(acc);
      return host::Bits<float>(host::MacReference(bits, a, b, t));
    }
  }

  accum<accfloat, size_C> sums_;
};

}  // namespace AIE_HOST_ISA
}  // namespace aie
