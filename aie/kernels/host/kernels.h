// The kernels compiled for the host, which the virtual cores and the tests call.
//
// There is one table per instruction set. "reference" is the kernels' sources over
// scalar macs and defines the result: all others compute the same bits, except with
// kAieFast. kAieFast adds in the order that suits the CPU, makes NaNs and infinities as
// f32 does, and flushes denormals where AVX512-BF16's instructions do. Threads may call
// at the same time.
#pragma once

enum AieArithmetic {
  kAieExact,       // AIE2
  kAieSequential,  // AIE2P's exact arithmetic, one product at a time
  kAieBfp16,       // AIE2P through bfp16, blocks rounded to nearest even
  kAieBfp16Floor,  // the same, blocks rounded down
  kAieFast,        // the CPU's own products of bf16 with f32 sums
};

struct AieMatmul {
  int mmul_size;     // 4: mmul 4x8x4, 8: mmul 8x8x8
  int arithmetic;    // an AieArithmetic
  unsigned m, k, n;  // multiples of 16, 8, 16; of 16 with in_tiles
  int b_col_major;   // without in_tiles
  int bf16_out;      // without in_tiles; every call loads C and rounds it again
  int in_tiles;      // A and B lie as in matmul_tiles.cc, and C points to the part
  int a_transposed, b_transposed;  // with in_tiles
  int is_first;                    // with in_tiles: C = A B
};

struct AieKernels {
  const char* isa;
  // C += A B in the layouts of matmul.cc or, with in_tiles, of matmul_tiles.cc. Returns
  // null, or what is wrong with the call.
  const char* (*matmul)(const AieMatmul* call, const void* a, const void* b, void* c);
  // `size` counts elements and is a multiple of 16.
  void (*zero)(int is_bf16, unsigned size, void* c);
  void (*convert)(int conv_even, unsigned size, const float* from, void* to);
};

extern "C" {
// Returns the kernels of an instruction set ("avx512", "avx512bf16", "avx2", "portable"
// or "reference"), or the fastest ones if `isa` is null. Returns null if this CPU does
// not have that instruction set.
const AieKernels* aie_kernels(const char* isa);
}
