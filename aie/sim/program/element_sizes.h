// Sizes of a word and of the element types that a design stores.

#ifndef JAX_NPU_AIE_SIM_PROGRAM_ELEMENT_SIZES_H_
#define JAX_NPU_AIE_SIM_PROGRAM_ELEMENT_SIZES_H_

#include <cstdint>
#include <string_view>

namespace jax_npu::sim {

constexpr int64_t kWordBytes = 4;  // a word of DMA, of a stream and of a register

// Bits of an MLIR element type, which are the first number in its name: 16 for "bf16".
constexpr int64_t ElementBits(std::string_view element) {
  int64_t bits = 0;
  for (size_t i = element.find_first_of("0123456789");
       i < element.size() && element[i] >= '0' && element[i] <= '9'; ++i) {
    bits = 10 * bits + (element[i] - '0');
  }
  return bits;
}

constexpr int64_t ElementBytes(std::string_view element) {
  return ElementBits(element) / 8;
}

constexpr int64_t kBf16Bytes = ElementBytes("bf16"), kF32Bytes = ElementBytes("f32");

// Whether a core's loads and stores can access that many bytes.
constexpr bool IsScalarSize(int64_t bytes) {
  return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
}

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_PROGRAM_ELEMENT_SIZES_H_
