// The arithmetics in which an NPU's cores multiply, as far as checks of their results
// need them.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_ARITHMETIC_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_ARITHMETIC_H_

#include <cstdint>
#include <string_view>

namespace jax_npu {

// The arithmetics differ in how they round operands; all of them sum in f32.
enum class NpuArithmetic {
  kF32,         // bf16 products are exact
  kBfp16,       // blocks of 8 share an exponent, mantissas rounded to nearest even
  kBfp16Floor,  // as kBfp16, rounded downwards: the best-known fault of AIE2P designs
  kOther,       // none of these
};

const char* NameOf(NpuArithmetic arithmetic);

// Takes "f32" or "bfp16", the arithmetics that designs are built for. Throws
// std::invalid_argument for another name.
NpuArithmetic ParseArithmetic(std::string_view name);

// Neighbours along k that share an exponent in bfp16.
constexpr int64_t kBfp16Block = 8;

// Decodes one block along k as cores of that arithmetic see it: up to kBfp16Block rows
// of bf16 (count, n), `stride` elements apart, to values (count, n). In bfp16 a block
// that holds NaN or infinity becomes NaN.
void DecodeRows(NpuArithmetic arithmetic, const uint16_t* rows, int64_t stride,
                int64_t count, int64_t n, float* values);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_VERIFY_ARITHMETIC_H_
