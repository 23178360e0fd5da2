// Products whose results are known, for an NPU to compute before it is trusted.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_KNOWN_PRODUCTS_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_KNOWN_PRODUCTS_H_

#include <cstdint>
#include <map>
#include <vector>

#include "xla_ffi/npu/images/layout.h"
#include "xla_ffi/npu/verify/arithmetic.h"

namespace jax_npu {

// The sizes of a product's images A (m, k), B (k, n) and C (m, n), and how A and B lie.
struct ImageSizes {
  int64_t m, k, n;
  ImageLayout a, b;
};

bool operator<(const ImageSizes& a, const ImageSizes& b);

struct KnownProduct {
  std::vector<uint16_t> a, b;                            // images of bf16
  std::map<NpuArithmetic, std::vector<double>> results;  // (m, n)
};

constexpr NpuArithmetic kKnownArithmetics[] = {
    NpuArithmetic::kF32, NpuArithmetic::kBfp16, NpuArithmetic::kBfp16Floor};

// Whether that row of A, or that column of B, is negative in the second product.
bool IsNegative(int64_t row_or_column);

// Two products of random operands, made once for each size; m and n must be even.
// The first is of small positive integers. Every arithmetic gives the same result,
// which is stored under kF32. The second is of numbers that use all eight significant
// bits of bf16 and many exponents, with the result of each of kKnownArithmetics.
const std::vector<KnownProduct>& KnownProducts(const ImageSizes& sizes);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_VERIFY_KNOWN_PRODUCTS_H_
