// Whether the NPU computed what it was asked to: results that it never wrote, and
// results that are not the product.

#ifndef JAX_NPU_XLA_FFI_NPU_CHECK_H_
#define JAX_NPU_XLA_FFI_NPU_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace jax_npu {

enum class CheckMode { kOff, kFirst, kSample, kAlways };

// "off", "first", "sample" or "always". Throws std::invalid_argument.
CheckMode ParseCheckMode(std::string_view name);

// Whether to check this run: kFirst the first of every stream, kSample also one of 32
// that follow.
bool ShouldCheck(CheckMode mode, const uint32_t* words, size_t num_words);

// What rounding explains. Where the array gives k_block neighbours along k one
// exponent, the largest of them counts for each.
struct Tolerance {
  // Of an element at most, over its accumulated mass, sum |a| |b|.
  double element;
  // Of a product a b typically, over its magnitude. Signs make errors of a row's
  // elements add up as a random walk, so a sum that is off by several times the root
  // mean square of these makes its row suspicious.
  double product;
  int64_t k_block;
};

// The images of a run, batch entry after batch entry: a (m, k) and b (k, n), or (n, k)
// where it is column-major, in bf16; c (m, n).
struct GemmImages {
  const uint16_t *a, *b;
  const float* c;
  int64_t batch, m, k, n;
  bool b_column_major;
};

// A bit pattern that no product has: a NaN whose low bits are set.
void FillSentinel(float* c, int64_t size);

// What is wrong with c, or "". By Freivalds' test, R. Freivalds, "Probabilistic
// machines can use less running time", 1977: c r = a (b r) for a random vector r of
// signs, in O(n^2). Of the rows where this is off most, each element is judged. Rows
// whose sums may overflow are not.
std::string FindMistake(const GemmImages& images, const Tolerance& tolerance,
                        uint64_t seed);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_CHECK_H_
