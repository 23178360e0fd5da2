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

using Loops = std::vector<Axis>;  // outermost first; none means one index

int64_t SizeOf(const Loops& loops);

// Whether the indices of loops are neighbours in one of the arrays; a single index has
// none.
inline bool LieTogether(const Loops& loops, int64_t Axis::* stride) {
  return SizeOf(loops) > 1 && loops.back().*stride == 1;
}

// The loops of a contraction.
struct Axes {
  Loops batch, m, k, n;
};

// The element offset of every index of a group in one operand.
using Offsets = std::vector<int64_t>;

struct Group {
  Offsets lhs, rhs, out;
  Loops loops;
  int64_t size() const { return static_cast<int64_t>(lhs.size()); }
};

struct Contraction {
  Group batch, m, k, n;
};

// Expands loops into offsets.
Group Expand(const Loops& loops);
Contraction Expand(const Axes& axes);

// The loops that were expanded.
Axes LoopsOf(const Contraction& contraction);

// The products that are summed, as (part of lhs, part of rhs): see Strip::part. Each
// pair is one pass over k, so that higher precision is only a longer contraction.
using PartPairs = std::vector<std::pair<int, int>>;

// C = A B as Cᵀ = Bᵀ Aᵀ.
Contraction SwapOperands(Contraction contraction);
PartPairs SwapOperands(PartPairs parts);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_BASE_CONTRACTION_H_
