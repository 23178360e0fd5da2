#include "xla_ffi/base/contraction.h"

#include <utility>

namespace jax_npu {
namespace {

// offsets[((i0 * size1) + i1) * ... + in] = i0 stride0 + i1 stride1 + ... + in striden
Offsets Expand(const AxisSpan& axes, int64_t Axis::* stride) {
  Offsets offsets = {0};
  for (const Axis& axis : axes) {
    Offsets finer;  // (offsets so far, this axis)
    finer.reserve(offsets.size() * axis.size);
    for (int64_t base : offsets) {
      for (int64_t i = 0; i < axis.size; ++i) {
        finer.push_back(base + i * axis.*stride);
      }
    }
    offsets = std::move(finer);
  }
  return offsets;
}

}  // namespace

Group ExpandAxes(const AxisSpan& axes) {
  return {Expand(axes, &Axis::lhs),
          Expand(axes, &Axis::rhs),
          Expand(axes, &Axis::out),
          {axes.begin(), axes.end()}};
}

Contraction ExpandAxes(const Loops& loops) {
  return {ExpandAxes(loops.batch), ExpandAxes(loops.m), ExpandAxes(loops.k),
          ExpandAxes(loops.n)};
}

Loops LoopsOf(const Contraction& contraction) {
  const auto span = [](const Group& group) {
    return AxisSpan{group.axes.data(), static_cast<int64_t>(group.axes.size())};
  };
  return {span(contraction.batch), span(contraction.m), span(contraction.k),
          span(contraction.n)};
}

Contraction SwapOperands(Contraction contraction) {
  for (Group* group :
       {&contraction.batch, &contraction.m, &contraction.k, &contraction.n}) {
    std::swap(group->lhs, group->rhs);
    for (Axis& axis : group->axes) std::swap(axis.lhs, axis.rhs);
  }
  std::swap(contraction.m, contraction.n);
  return contraction;
}

PartPairs SwapOperands(PartPairs parts) {
  for (auto& [lhs, rhs] : parts) std::swap(lhs, rhs);
  return parts;
}

}  // namespace jax_npu
