// The inner loops of the host GEMM, compiled for each instruction set.
//
// Each set is a file with its own compiler flags. So these files may not use inline
// functions of the standard library: the linker keeps one copy of each such function,
// and it could be one that an older CPU cannot run.

#ifndef JAX_NPU_XLA_FFI_HOST_ISA_INSTRUCTION_SET_H_
#define JAX_NPU_XLA_FFI_HOST_ISA_INSTRUCTION_SET_H_

#include <cstdint>

#include "xla_ffi/base/dtype.h"

namespace jax_npu {

// The number of rows of lhs (or columns of rhs) that are packed side by side. A packed
// panel is (num_words, kPanel); a word is one f32, or two bf16 that are neighbours
// along k.
constexpr int kPanel = 16;

// Some rows of lhs (or columns of rhs) by contracted indices, where they lie.
struct Strip {
  const void* data;
  DType dtype;
  const int64_t* rows;  // element offsets, num_rows of them
  int64_t num_rows;
  const int64_t* ks;  // element offsets, num_k of them
  int64_t num_k;
  int part;  // the bf16 part of each value: 0, 1 or 2, see Bf16Part in base/bf16.inc
};

// A tile of the result, panels of lhs by panels of rhs:
//   c (rows, columns) = or += lhs (k, rows)ᵀ rhs (k, columns).
// All of its rows and columns are written, those that pad a panel too.
struct TileJob {
  const uint32_t *lhs, *rhs;
  int64_t panel_words;  // words from one panel to the next
  int64_t num_words;    // words of a packed row
  int num_lhs_panels, num_rhs_panels;
  float* c;  // row-major
  int64_t ldc;
  bool accumulate;
  bool past_caches;  // store c past the caches if possible; it lies on whole lines
};

// Few rows of lhs by many columns of rhs, which is read where it lies:
//   c (num_rows, columns) = lhs (num_rows, k) rhs (k, columns).
struct SkinnyJob {
  const float* lhs;  // (kSkinnyRows, k), rounded to bf16, zero from num_rows on
  int num_rows;
  Strip rhs;  // its rows are the columns of the result
  float* c;   // (num_rows, rhs.num_rows)
};
// The most rows of such a job. Python asks for it with jax_npu_skinny_rows.
constexpr int kSkinnyRows = 8;

// The bf16 that stands for a value: one of its parts.
struct Bf16Choice {
  int part;          // see Strip::part
  bool only_finite;  // takes 0 for a value that is not finite
};

// The inner loops of one instruction set.
struct HostKernels {
  const char* name;
  int lhs_panels, rhs_panels;  // the largest tile, in panels
  int k_per_word;
  int word_multiple;  // packed rows are padded with zeros to a multiple of this
  int max_words;      // the longest packed row: a tile's panels stay in the caches
  // Rounds a strip of up to kPanel rows to bf16 and packs it.
  void (*pack_lhs)(const Strip&, int64_t num_words, uint32_t* panel);
  void (*pack_rhs)(const Strip&, int64_t num_words, uint32_t* panel);
  void (*multiply)(const TileJob&);
  // Called on each thread before and after multiply and spin, unless null.
  void (*enter)();
  void (*leave)();
  void (*multiply_skinny)(const SkinnyJob&);
  // Rounds values that are neighbours in memory to bf16.
  void (*round)(DType dtype, const Bf16Choice& choice, const void* from, int64_t size,
                uint16_t* to);
  // Multiplies registers over and over, and returns the number of FLOPs.
  int64_t (*spin)(int64_t num_iterations);
};

#if defined(__x86_64__)
extern const HostKernels kAmxKernels, kAvx512Bf16Kernels, kAvx512Kernels, kAvx2Kernels;
#endif
extern const HostKernels kPortableKernels;

// The fastest kernels for this CPU, or those that JAX_NPU_HOST_ISA names. Throws
// std::invalid_argument for a name that is unknown or that this CPU cannot run.
const HostKernels& SelectHostKernels();

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_ISA_INSTRUCTION_SET_H_
