// Scratch: it grows, keeps its memory, and traps writes past its end.

#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "xla_ffi/host/scratch.h"

int main(int argc, char**) {
  jax_npu::Scratch scratch;
  constexpr size_t kSize = 1008;  // 63 lines of 64 bytes
  for (const size_t size : {kSize / 3, kSize, size_t{3'000'000}}) {
    float* values = scratch.Reserve<float>(size);
    if (reinterpret_cast<uintptr_t>(values) % 64 != 0) return 1;
    std::memset(values, 1, size * sizeof(float));
    if (scratch.Reserve<float>(size / 2) != values) return 2;
  }
  if (argc > 1) {
    jax_npu::Scratch other;
    volatile float* values = other.Reserve<float>(kSize);
    values[kSize] = 1.0f;
  }
  return 0;
}
