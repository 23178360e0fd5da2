// The check of a result: finds elements that the NPU never wrote, and results that are
// not the product of the operands.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_CHECK_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "xla_ffi/base/parallel.h"
#include "xla_ffi/npu/images/layout.h"
#include "xla_ffi/npu/verify/arithmetic.h"

namespace jax_npu {

// The arithmetic that a result is compared with, and the differences that rounding
// explains.
struct CheckRule {
  // The operands are decoded as this arithmetic sees them.
  NpuArithmetic arithmetic;
  // The largest error of an element over its mass, sum over k of |a| |b|, beside the
  // rounding of sums in f32.
  double element;
  // The typical error of a product a b over its magnitude. Random signs make the errors
  // of a row's elements add up as a random walk: a row is suspicious if its sum is off
  // by several times the root of the sum of squares of these errors.
  double product;
  // Whether each value of a bfp16 block is weighed by the largest of the block, because
  // all share its exponent.
  bool weighs_by_block;
};

// The rule for a design that was built for `expected`. If a self-test has confirmed
// that the cores round as DecodeRows does, the operands are rounded alike and rounding
// explains no difference. If not, bfp16 may be off by its step.
CheckRule RuleFor(NpuArithmetic expected, bool is_confirmed, int64_t padded_k);

// The images of a run: a (batch, stored_m, k) and b (batch, k, stored_n) in bf16, which
// lie as their layouts say; c (batch, m, n) in f32, row-major. Where m or n is larger
// than what is stored, the array reads on, and so does the check.
struct GemmImages {
  const uint16_t *a, *b;
  const float* c;
  int64_t batch, m, k, n;
  ImageLayout a_layout, b_layout;
  int64_t stored_m, stored_n;

  OperandImage A(int64_t entry) const {
    return {a + entry * stored_m * k, stored_m, k, a_layout};
  }
  OperandImage B(int64_t entry) const {
    return {b + entry * k * stored_n, stored_n, k, b_layout};
  }
  const float* RowOfC(int64_t entry, int64_t row) const {
    return c + (entry * m + row) * n;
  }
};

// Describes what is wrong with c, or returns "". Freivalds' test (R. Freivalds,
// "Probabilistic machines can use less running time", 1977) compares c r with a (b r)
// for a random vector r of signs, in O(n^2). Then each element of the rows with the
// largest differences is judged. Elements whose sums may overflow or are not finite are
// left out; columns of B with very large values are judged in a few rows only.
std::string FindMistake(const GemmImages& images, const CheckRule& rule, uint64_t seed,
                        const ParallelLoop& parallel = kSerialLoop);

// The largest rounding error of a sum of k products in f32, over its mass: 2^-24 for
// each product, and as much again for each block of 8 that a core adds at once, so
// k (1 + 1/8) 2^-24.
constexpr double MaxSumError(int64_t k) { return k * 1.125 / (1 << 24); }

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_VERIFY_CHECK_H_
