// npu_check.h for ctypes.

#include <cstdint>
#include <string>

#include "npu_check.h"

#pragma GCC visibility push(default)
extern "C" {
// What is wrong, valid until the next call.
const char* find_mistake(const uint16_t* a, const uint16_t* b, const float* c,
                         const int64_t* sizes, int b_column_major, double element,
                         double product, int64_t k_block, uint64_t seed) {
  static std::string mistake;
  mistake = jax_npu::FindMistake(
      {a, b, c, sizes[0], sizes[1], sizes[2], sizes[3], b_column_major != 0},
      {element, product, k_block}, seed);
  return mistake.c_str();
}

void fill_sentinel(float* c, int64_t size) { jax_npu::FillSentinel(c, size); }
}
#pragma GCC visibility pop
