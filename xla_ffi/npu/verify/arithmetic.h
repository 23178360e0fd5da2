// How an NPU's cores multiply, as far as a check of their results must know.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_ARITHMETIC_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_ARITHMETIC_H_

#include <cstdint>
#include <string_view>

namespace jax_npu {

// Sums are in f32 in all of them.
enum class NpuArithmetic {
  kF32,         // bf16 products are exact
  kBfp16,       // blocks of 8 share an exponent, mantissas rounded to nearest even
  kBfp16Floor,  // the same, rounded downwards: the best-known fault of AIE2P designs
  kOther,       // none of these
};

const char* NameOf(NpuArithmetic arithmetic);

// "f32" or "bfp16", which are all that a design is built for. Throws
// std::invalid_argument.
NpuArithmetic ParseArithmetic(std::string_view name);

// Neighbours along k that share an exponent in bfp16.
constexpr int64_t kBfp16Block = 8;

// Up to kBfp16Block rows (count, n) of bf16, neighbours along k and `stride` apart, as
// cores of that arithmetic see them; values are (count, n). In bfp16 a block that is
// not finite is NaN.
void DecodeRows(NpuArithmetic arithmetic, const uint16_t* rows, int64_t stride,
                int64_t count, int64_t n, float* values);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_VERIFY_ARITHMETIC_H_
