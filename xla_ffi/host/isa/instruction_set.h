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
// Columns that pad a panel are written too, and so may rows be.
struct TileJob {
  const uint32_t *lhs, *rhs;
  int64_t panel_words;  // words from one panel to the next
  int64_t num_words;    // words of a packed row
  int num_lhs_panels, num_rhs_panels;
  int num_rows;  // of the result; the others, which pad, need not be written
  float* c;      // row-major
  int64_t ldc;
  bool accumulate;
  bool past_caches;  // store c past the caches if possible; it lies on whole lines
};

// The most rows of a RowsJob. Python asks for it with jax_npu_few_rows.
constexpr int kFewRows = 8;

// Few rows of lhs by many columns of rhs, which is read where it lies:
//   c (num_rows, columns) = or += lhs (num_rows, k) rhs (k, columns).
// Element (k, column) of rhs lies k k_stride + column column_stride elements from its
// beginning; one of the strides is 1, and k_stride is if there is one column.
struct RowsJob {
  const float* lhs;    // rounded already; rows from num_rows to 1, 2, 4 or 8 exist too
  int64_t lhs_stride;  // from row to row, at least k; zeros up to a multiple of kPanel
  int num_rows;
  const void* rhs;
  const void* rhs_end;  // nothing from here on may be read
  DType dtype;          // of rhs
  bool exact;           // multiplies f32 as it is, not rounded to bf16
  int64_t k_stride, column_stride, num_k, num_columns;
  float* const* c;  // rows, as many as lhs has
  bool accumulate;
};

// c[i] = lhs[i] rhs[i], each a dot product of vectors that are read where they lie.
// Either both strides along k are 1 or those from dot to dot.
struct DotsJob {
  const void *lhs, *rhs;
  const void *lhs_end, *rhs_end;  // nothing from here on may be read
  DType lhs_dtype, rhs_dtype;
  bool exact;  // multiplies f32 as it is, not rounded to bf16
  int64_t lhs_k_stride, rhs_k_stride, lhs_stride, rhs_stride, num_k, num_dots;
  float* c;
};

// c[e] (m, n) = lhs[e] (m, k) rhs[e] (k, n) for entries e, of values that are rounded
// already. Columns are neighbours in memory. Rows of rhs and of c are read and written
// in pairs of vectors, so c_m is n only if those are one pair, else a multiple of it.
struct SmallJob {
  int64_t num_entries, m, k, n;
  const float *lhs, *rhs;
  float* c;
  int64_t lhs_entry, lhs_m, lhs_k, rhs_entry, rhs_k, c_entry, c_m;  // strides
};

// The bf16 that stands for a value: one of its parts.
struct Bf16Choice {
  int part;          // see Strip::part
  bool only_finite;  // takes 0 for a value that is not finite
};

// The inner loops of one instruction set.
struct HostKernels {
  const char* name;
  int num_lanes;               // f32 in a vector
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
  void (*multiply_rows)(const RowsJob&);
  void (*multiply_dots)(const DotsJob&);
  void (*multiply_small)(const SmallJob&);
  // Widens neighbours in memory to f32, rounded to bf16 unless `exact`.
  void (*widen)(DType dtype, bool exact, const void* from, int64_t size, float* to);
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
