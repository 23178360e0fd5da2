// Whether the NPU computed what it was asked to: finds results that it never wrote, and
// results that are not the product.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_CHECK_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "xla_ffi/npu/verify/arithmetic.h"

namespace jax_npu {

// What a result is compared with, and which difference rounding explains.
struct CheckRule {
  // Operands are decoded as this arithmetic sees them.
  NpuArithmetic arithmetic;
  // The largest error of an element over its accumulated mass, sum |a| |b|, beside what
  // sums in f32 round.
  double element;
  // The typical error of a product a b over its magnitude. Signs make errors of a row's
  // elements add up as a random walk, so a sum that is off by several times the root
  // mean square of these makes its row suspicious.
  double product;
  // The largest of a bfp16 block counts for each of its values.
  bool weighs_by_block;
};

// The rule for a design that was built for `expected`. Where a self-test has shown that
// cores round as that arithmetic does here, the same rounding is applied to the
// operands and explains no difference; where it has not, bfp16 may be off by its step.
CheckRule RuleFor(NpuArithmetic expected, bool is_confirmed, int64_t padded_k);

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

// Describes elements that still have the pattern, or returns "".
std::string FindUnwritten(const float* c, int64_t size);

// Describes what is wrong with c, or returns "". Freivalds' test (R. Freivalds,
// "Probabilistic machines can use less running time", 1977) compares c r with a (b r)
// for a random vector r of signs, in O(n^2); of the rows with the largest difference,
// each element is judged. Elements whose sums may overflow or are not finite are not,
// and of columns of B with such values only those of a few rows.
std::string FindMistake(const GemmImages& images, const CheckRule& rule, uint64_t seed);

// The most that f32 sums of k products round, over their mass: half a unit in the last
// place for each product, and as much for each block of 8 that an array adds at once.
constexpr double MaxSumError(int64_t k) { return k * 1.125 / (1 << 24); }

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_VERIFY_CHECK_H_
