// The loops of a product whose operands are read where they lie.

#ifndef JAX_NPU_XLA_FFI_HOST_IN_PLACE_LOOPS_H_
#define JAX_NPU_XLA_FFI_HOST_IN_PLACE_LOOPS_H_

#include <algorithm>
#include <cstdint>
#include <utility>

#include "xla_ffi/base/contraction.h"
#include "xla_ffi/base/dtype.h"
#include "xla_ffi/host/gemm.h"
#include "xla_ffi/host/isa/instruction_set.h"

namespace jax_npu {

// The loops of a group, outermost first. They lie in the object, because a small call
// has no time to allocate.
class AxisList {
 public:
  static constexpr int kMaxSize = 8;

  AxisList() {}  // the axes are written before they are read

  void Add(const Axis& axis) { axes_[size_++] = axis; }

  // The axis with the longest run of rhs: the one with stride 1, else the longest. It
  // is taken out of the list; without any axis it has a single index.
  Axis TakeInner();

  int64_t NumIndices() const {
    int64_t product = 1;
    for (const Axis& axis : *this) product *= axis.size;
    return product;
  }

  // The offsets of an index, counted row by row.
  Axis At(int64_t index) const;

  // Writes the offsets of every index.
  void Expand(int64_t Axis::* stride, int64_t* offsets) const;

  const Axis* begin() const { return axes_; }
  const Axis* end() const { return axes_ + size_; }
  Axis* begin() { return axes_; }
  Axis* end() { return axes_ + size_; }
  int size() const { return size_; }

 private:
  Axis axes_[kMaxSize];
  int size_ = 0;
};

// A product as loops, with what it reads and writes.
struct InPlace {
  AxisList batch, m, k, n;
  Operand lhs, rhs;
  Result out;
  bool exact;  // multiplies f32 as it is, not rounded to bf16
  const HostKernels& kernels;

  void Swap();  // C = A B as Cᵀ = Bᵀ Aᵀ

  // Writes num_k values of an operand, `stride` elements apart, as neighbours in f32:
  // rounded to bf16 unless `exact`.
  void LoadRun(Operand operand, int64_t element, int64_t stride, int64_t num_k,
               float* to) const;

  // Writes neighbours of `values` to the result, `stride` elements apart.
  void StoreRun(const float* values, int64_t size, int64_t element,
                int64_t stride) const;
};

inline const void* At(Operand operand, int64_t element) {
  return static_cast<const char*>(operand.data) + element * NumBytes(operand.dtype);
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_IN_PLACE_LOOPS_H_
