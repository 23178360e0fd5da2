// The functions of verify/check.h, sentinel.h and self_test.h, for ctypes.

#include <algorithm>
#include <cstdint>
#include <string>

#include "xla_ffi/base/worker_threads.h"
#include "xla_ffi/npu/verify/check.h"
#include "xla_ffi/npu/verify/self_test.h"
#include "xla_ffi/npu/verify/sentinel.h"

namespace {

// From 0 or 1 for A's and for B's k_is_rows, and for is_tiled of both.
jax_npu::ImageLayout LayoutOfA(const int* layouts) {
  return {layouts[0] != 0, layouts[2] != 0};
}

jax_npu::ImageLayout LayoutOfB(const int* layouts) {
  return {layouts[1] != 0, layouts[2] != 0};
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {
// Describes the mistake or returns ""; valid until the next call.
const char* find_mistake(const uint16_t* a, const uint16_t* b, const float* c,
                         const int64_t* sizes, const int* layouts,
                         const char* arithmetic, int is_confirmed, uint64_t seed) {
  static std::string mistake;
  mistake =
      jax_npu::FindMistake({a, b, c, sizes[0], sizes[1], sizes[2], sizes[3],
                            LayoutOfA(layouts), LayoutOfB(layouts), sizes[4], sizes[5]},
                           jax_npu::RuleFor(jax_npu::ParseArithmetic(arithmetic),
                                            is_confirmed != 0, sizes[2]),
                           seed, jax_npu::LoopOn(jax_npu::TheWorkerThreads()));
  return mistake.c_str();
}

void fill_sentinel(float* c, int64_t size) { jax_npu::FillSentinel(c, size); }

// Decodes rows (k, n) as cores of that arithmetic see them.
void decode_rows(int arithmetic, const uint16_t* rows, int64_t k, int64_t n,
                 float* values) {
  for (int64_t i = 0; i < k; i += jax_npu::kBfp16Block) {
    jax_npu::DecodeRows(static_cast<jax_npu::NpuArithmetic>(arithmetic), rows + i * n,
                        n, std::min(jax_npu::kBfp16Block, k - i), n, values + i * n);
  }
}

// Returns the image of an operand of the known product 0 or 1: a (m, k) or b (k, n).
const uint16_t* known_operand(int64_t m, int64_t k, int64_t n, const int* layouts,
                              int product, int is_b) {
  const auto& known = jax_npu::KnownProducts(
      {m, k, n, LayoutOfA(layouts), LayoutOfB(layouts)})[product];
  return (is_b ? known.b : known.a).data();
}

// Judges the results of both products. Describes the mistake or returns ""; `*found` is
// the name of the arithmetic of the second result.
const char* judge_self_test(int64_t m, int64_t k, int64_t n, const char* arithmetic,
                            const float* of_integers, const float* of_rounded,
                            const char** found) {
  static jax_npu::SelfTestResult result;
  result = jax_npu::JudgeSelfTest({m, k, n, {false, false}, {true, false}},
                                  jax_npu::ParseArithmetic(arithmetic), of_integers,
                                  of_rounded);
  *found = jax_npu::NameOf(result.arithmetic);
  return result.mistake.c_str();
}
}
#pragma GCC visibility pop
