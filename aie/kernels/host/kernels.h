// The kernels for the host, as the virtual cores and the tests call them.
//
// One table per instruction set. "reference" is matmul.cc itself over scalar macs, the
// definition of the others: they have its bits, but for kAieFast. That adds in the
// order that suits the CPU, NaNs and infinities arise as in f32, and what AVX512-BF16
// has instructions for flushes denormals. Threads may call at the same time.
#pragma once

enum AieArithmetic {
  kAieExact,       // AIE2
  kAieSequential,  // AIE2P, one product at a time
  kAieBfp16,       // AIE2P through bfp16, blocks rounded to nearest even
  kAieBfp16Floor,  // the same, blocks rounded down
  kAieFast,        // the CPU's own bf16 product with f32 sums
};

struct AieMatmul {
  int mmul_size;  // 4: mmul 4x8x4, 8: mmul 8x8x8
  int arithmetic;
  unsigned m, k, n;  // multiples of 16, 8, 16
  int b_col_major;
  int bf16_out;  // C is bf16, loaded and rounded at every call
};

struct AieKernels {
  const char* isa;
  // C += A B in the layouts of matmul.cc; null, or what was wrong with the call.
  const char* (*matmul)(const AieMatmul* call, const void* a, const void* b, void* c);
  // `size` elements, a multiple of 16.
  void (*zero)(int is_bf16, unsigned size, void* c);
  void (*convert)(int conv_even, unsigned size, const float* from, void* to);
};

extern "C" {
// The kernels of an instruction set ("avx512", "avx512bf16", "avx2", "portable" or
// "reference"), or the fastest for null. Null if this CPU does not run it.
const AieKernels* aie_kernels(const char* isa);
}
