// The inner loops of GEMMs on the host, one set per instruction set.
//
// Each set is compiled by its own file with its own compiler flags, so nothing here may
// be an inline function of the standard library: the linker keeps one copy of those,
// and it could be one that an older CPU cannot run.

#ifndef JAX_NPU_XLA_FFI_HOST_ISA_KERNELS_H_
#define JAX_NPU_XLA_FFI_HOST_ISA_KERNELS_H_

#include <cstdint>

namespace jax_npu {

enum class DType {
  kF32,
  kBF16,
  kPacked,  // a whole operand as the host's kernels take it, see PackOperand
};

// Rows (or columns) that are packed side by side. A packed panel is [word][row], a word
// being one f32, or two bf16 that are neighbours along k.
constexpr int kPanel = 16;

// Rows (or columns) of a matrix by contracted indices.
struct Strip {
  const void* data;
  DType dtype;
  const int64_t* rows;  // element offsets, num_rows of them
  int64_t num_rows;
  const int64_t* ks;  // element offsets, num_k of them
  int64_t num_k;
  int part;  // which bf16 part of an f32 value: 0 its rounding, 1 the rest's, 2 ...
};

// A tile of the result: panels of lhs by panels of rhs. All of its rows and columns are
// written.
struct TileJob {
  const uint32_t *lhs, *rhs;
  int64_t panel_words;  // from one panel to the next
  int64_t num_words;    // of a packed row
  int num_lhs_panels, num_rhs_panels;
  float* c;  // row-major
  int64_t ldc;
  bool accumulate;
  bool past_caches;  // a wish; c and ldc are then multiples of 64 bytes
};

// Few rows of lhs by many columns of rhs, which is read where it lies.
struct SkinnyJob {
  const float* lhs;  // [kSkinnyRows][k], rounded to bf16, zero beyond num_rows
  int num_rows;
  Strip rhs;  // its rows are the columns of the result
  float* c;   // [num_rows][rhs.num_rows]
};
constexpr int kSkinnyRows = 8;

// What stands for a value as one bf16: a part of it, see Strip::part.
struct Bf16Choice {
  int part;
  bool only_finite;  // 0 for what is not finite
};

struct HostKernels {
  const char* name;
  int lhs_panels, rhs_panels;  // of the largest tile
  int k_per_word;
  int word_multiple;  // packed rows are padded with zeros to it
  int max_words;      // of a packed row, so that what a tile needs stays in the caches
  // Rounds a strip of up to kPanel rows to bf16 and packs it.
  void (*pack_lhs)(const Strip&, int64_t num_words, uint32_t* panel);
  void (*pack_rhs)(const Strip&, int64_t num_words, uint32_t* panel);
  void (*multiply)(const TileJob&);
  // Around multiply and spin on each thread, where not null.
  void (*enter)();
  void (*leave)();
  void (*multiply_skinny)(const SkinnyJob&);
  // Rounds values that are neighbours in memory.
  void (*round)(DType dtype, const Bf16Choice& choice, const void* from, int64_t size,
                uint16_t* to);
  // Multiplies what is in registers; returns the FLOPs.
  int64_t (*spin)(int64_t num_iterations);
};

#if defined(__x86_64__)
extern const HostKernels kAmxKernels, kAvx512Bf16Kernels, kAvx512Kernels, kAvx2Kernels;
#endif
extern const HostKernels kPortableKernels;

// The kernels for this CPU, or those that JAX_NPU_HOST_ISA names; throws
// std::invalid_argument for a name that is unknown or that this CPU cannot run.
const HostKernels& SelectHostKernels();

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_ISA_KERNELS_H_
