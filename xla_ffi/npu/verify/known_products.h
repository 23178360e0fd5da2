// Products whose results are known, for an NPU to compute before it is trusted.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_KNOWN_PRODUCTS_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_KNOWN_PRODUCTS_H_

#include <cstdint>
#include <map>
#include <vector>

#include "xla_ffi/npu/verify/arithmetic.h"

namespace jax_npu {

// Of the images of one run without a batch.
struct ImageSizes {
  int64_t m, k, n;
  bool b_column_major;
};

bool operator<(const ImageSizes& a, const ImageSizes& b);

struct KnownProduct {
  std::vector<uint16_t> a, b;                            // as the array reads them
  std::map<NpuArithmetic, std::vector<double>> results;  // (m, n)
};

constexpr NpuArithmetic kKnownArithmetics[] = {
    NpuArithmetic::kF32, NpuArithmetic::kBfp16, NpuArithmetic::kBfp16Floor};

// Whether the values of that row of A, or column of B, of the second product are.
bool IsNegative(int64_t row_or_column);

// Two products of random operands, made once for each size, m and n even: of small
// positive integers, with the result that every arithmetic has (under kF32), and of
// numbers with all eight significant bits of bf16 and many exponents, with the result
// of each arithmetic.
const std::vector<KnownProduct>& KnownProducts(const ImageSizes& sizes);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_VERIFY_KNOWN_PRODUCTS_H_
