// From the labels of a contraction's dimensions to its loops.
//
// A program names a label, a small integer, for every dimension of lhs, rhs and out;
// the sizes are those of the call's arrays. So one program serves every size. The
// program may come from anywhere: what does not fit is an error.

#ifndef JAX_NPU_XLA_FFI_BASE_LABELS_H_
#define JAX_NPU_XLA_FFI_BASE_LABELS_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "xla_ffi/base/contraction.h"

namespace jax_npu {

// Numbers that lie elsewhere.
struct Numbers {
  const int64_t* data;
  size_t size;

  const int64_t* begin() const { return data; }
  const int64_t* end() const { return data + size; }
};

// lhs, rhs or out: a label and a size for each dimension, outermost first.
struct Term {
  Numbers labels;
  std::optional<Numbers> sizes;  // unknown for an operand that is packed
};

// Bounds every size, so that no product of two sizes and no number of bytes overflows.
constexpr int64_t kMaxElements = int64_t{1} << 48;

// The loops over row-major arrays, with neighbouring dimensions merged: as
// contraction_axes in jax_npu/contraction.py derives them. Labels are numbers from 0,
// below the number of dimensions of both operands. Throws std::invalid_argument unless
// each stands in at least two terms, once in a term and with one size, and where a term
// has more than kMaxElements.
Axes AxesOf(const Term& lhs, const Term& rhs, const Term& out);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_BASE_LABELS_H_
