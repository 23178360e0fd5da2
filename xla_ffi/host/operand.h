// An operand of a product, and its packing for the kernels.

#ifndef JAX_NPU_XLA_FFI_HOST_OPERAND_H_
#define JAX_NPU_XLA_FFI_HOST_OPERAND_H_

#include <atomic>
#include <cstdint>

#include "xla_ffi/base/contraction.h"
#include "xla_ffi/base/dtype.h"
#include "xla_ffi/host/gemm.h"
#include "xla_ffi/host/isa/instruction_set.h"

namespace jax_npu {

inline int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A matrix inside an operand: rows of lhs, or columns of rhs, by contracted indices.
// Element (r, k) lies rows[r] + ks[k] elements from the beginning.
struct Matrix {
  const void* data;
  DType dtype;
  const Offsets* rows;
  const Offsets* ks;

  int64_t num_rows() const { return static_cast<int64_t>(rows->size()); }
  int64_t num_k() const { return static_cast<int64_t>(ks->size()); }
};

// The part of k that one pass multiplies: [k0, k0 + num_k).
struct Chunk {
  int64_t k0, num_k;
  int64_t num_words;     // words of a packed row
  int64_t words_before;  // words of a packed row in the earlier chunks
};

int64_t NumChunks(const HostKernels& kernels, int64_t num_k);
// All chunks but the last have the same length.
Chunk ChunkOf(const HostKernels& kernels, int64_t num_k, int64_t index);

// A range of an operand's rows.
struct Rows {
  int64_t first, size;
  int64_t num_panels() const { return DivideUp(size, kPanel); }
};

// One operand of a product, or one of its bf16 parts.
class Side {
 public:
  Side(const HostKernels& kernels, const Matrix& matrix, bool is_lhs, int part)
      : matrix_(matrix),
        part_(part),
        k_per_word_(kernels.k_per_word),
        pack_(is_lhs ? kernels.pack_lhs : kernels.pack_rhs) {}

  int64_t num_rows() const { return matrix_.num_rows(); }

  // Whether the rows, rather than the contracted indices, are neighbours in memory.
  bool LiesAcross() const { return LieTogether({0, num_rows()}); }

  // The words of these rows in a packed operand; null if the operand is not packed.
  const uint32_t* FindPacked(const Rows& rows, const Chunk& chunk) const;

  // Writes panels of (num_words, kPanel) words, one after the other.
  void Pack(const Rows& rows, const Chunk& chunk, uint32_t* to) const;

 private:
  bool LieTogether(const Rows& rows) const;
  Chunk PartOf(const Chunk& chunk, int64_t word, int64_t num_words) const;
  Strip StripOf(const Rows& rows, const Chunk& chunk) const;

  const Matrix& matrix_;
  const int part_;
  const int64_t k_per_word_;
  void (*const pack_)(const Strip&, int64_t, uint32_t*);
};

int64_t PackedWords(const Rows& rows, const Chunk& chunk);

// The packing of rows, in items for several threads.
class PackItems {
 public:
  PackItems(const Side& side, const Rows& rows, const Chunk& chunk, uint32_t* panels,
            int64_t num_threads);

  int64_t size() const;
  void Pack(int64_t item);

  // Waits until other threads have packed the items that they took.
  void Wait() const;

 private:
  const Side& side_;
  const Rows rows_;
  const Chunk chunk_;
  uint32_t* const panels_;
  const int64_t item_rows_;
  std::atomic<int64_t> num_left_;
};

// Packs a whole matrix, every chunk of k one after the other.
int64_t PackedMatrixWords(const HostKernels& kernels, int64_t num_rows, int64_t num_k);
void PackMatrix(const HostKernels& kernels, const Matrix& matrix, bool is_lhs,
                uint32_t* packed, const ParallelLoop& parallel);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_OPERAND_H_
