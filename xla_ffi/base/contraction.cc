#include "xla_ffi/base/contraction.h"

#include <utility>

namespace jax_npu {
namespace {

// offsets[((i0 * size1) + i1) * ... + in] = i0 stride0 + i1 stride1 + ... + in striden
Offsets ExpandFor(const Loops& loops, int64_t Axis::* stride) {
  Offsets offsets = {0};
  for (const Axis& axis : loops) {
    Offsets finer;  // (offsets so far, this axis)
    finer.reserve(offsets.size() * axis.size);
    for (int64_t base : offsets) {
      for (int64_t i = 0; i < axis.size; ++i) finer.push_back(base + i * axis.*stride);
    }
    offsets = std::move(finer);
  }
  return offsets;
}

}  // namespace

int64_t SizeOf(const Loops& loops) {
  int64_t size = 1;
  for (const Axis& axis : loops) size *= axis.size;
  return size;
}

Group Expand(const Loops& loops) {
  return {ExpandFor(loops, &Axis::lhs), ExpandFor(loops, &Axis::rhs),
          ExpandFor(loops, &Axis::out), loops};
}

Contraction Expand(const Axes& axes) {
  return {Expand(axes.batch), Expand(axes.m), Expand(axes.k), Expand(axes.n)};
}

Axes LoopsOf(const Contraction& contraction) {
  return {contraction.batch.loops, contraction.m.loops, contraction.k.loops,
          contraction.n.loops};
}

Contraction SwapOperands(Contraction contraction) {
  for (Group* group :
       {&contraction.batch, &contraction.m, &contraction.k, &contraction.n}) {
    std::swap(group->lhs, group->rhs);
    for (Axis& axis : group->loops) std::swap(axis.lhs, axis.rhs);
  }
  std::swap(contraction.m, contraction.n);
  return contraction;
}

PartPairs SwapOperands(PartPairs parts) {
  for (auto& [lhs, rhs] : parts) std::swap(lhs, rhs);
  return parts;
}

}  // namespace jax_npu
