// A contraction as nested loops over operands that lie as the program left them.
//
// Every index of the contraction belongs to one of four groups: batch (in lhs, rhs and
// out), m (lhs and out), n (rhs and out) or k (lhs and rhs):
//   out[batch.out + m.out + n.out] =
//       sum over k of lhs[batch.lhs + m.lhs + k.lhs] * rhs[batch.rhs + k.rhs + n.rhs]
// An operand is addressed by one offset per group, so any dimension order is read in
// place.

#ifndef JAX_NPU_XLA_FFI_BASE_CONTRACTION_H_
#define JAX_NPU_XLA_FFI_BASE_CONTRACTION_H_

#include <cstdint>
#include <utility>
#include <vector>

namespace jax_npu {

// One loop: its size, and its stride in each operand and the result, in elements. A
// stride is 0 where the operand lacks the index.
struct Axis {
  int64_t size, lhs, rhs, out;
};

// Axes in an array of somebody else's, outermost first; no axis means one index.
struct AxisSpan {
  const Axis* data;
  int64_t size;
  const Axis* begin() const { return data; }
  const Axis* end() const { return data + size; }
};

// A contraction as its axes.
struct Loops {
  AxisSpan batch, m, k, n;
};

inline int64_t NumIndices(const AxisSpan& axes) {
  int64_t product = 1;
  for (const Axis& axis : axes) product *= axis.size;
  return product;
}

// The element offset of every index of a group in one operand.
using Offsets = std::vector<int64_t>;

struct Group {
  Offsets lhs, rhs, out;
  std::vector<Axis> axes;
  int64_t size() const { return static_cast<int64_t>(lhs.size()); }
};

struct Contraction {
  Group batch, m, k, n;
};

Group ExpandAxes(const AxisSpan& axes);
Contraction ExpandAxes(const Loops& loops);

// The axes of a contraction, which keeps them.
Loops LoopsOf(const Contraction& contraction);

// The products that are summed, as (part of lhs, part of rhs): see Strip::part. Each
// pair is one pass over k, so that higher precision is only a longer contraction.
using PartPairs = std::vector<std::pair<int, int>>;

// C = A B as Cᵀ = Bᵀ Aᵀ.
Contraction SwapOperands(Contraction contraction);
PartPairs SwapOperands(PartPairs parts);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_BASE_CONTRACTION_H_
