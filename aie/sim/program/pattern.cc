#include "aie/sim/program/pattern.h"

#include <algorithm>
#include <cstdlib>

namespace jax_npu::sim {
namespace {

constexpr int64_t kMaxAlignment = int64_t{1} << 20;

// The same walk with fewer dimensions: those of size 1 are dropped, and two that make
// one run, where stride_outer = size_inner stride_inner, are joined.
std::vector<Dimension> Simplified(int64_t length, std::vector<Dimension> dimensions) {
  if (dimensions.empty()) dimensions.push_back({length, 1});
  std::vector<Dimension> simple;
  for (const Dimension& d : dimensions) {
    const bool has_pads = d.before != 0 || d.after != 0;
    if (d.size == 1 && !has_pads) continue;
    if (!simple.empty() && !has_pads) {
      Dimension& outer = simple.back();
      if (outer.before == 0 && outer.after == 0 && outer.stride == d.size * d.stride) {
        outer = {outer.size * d.size, d.stride};
        continue;
      }
    }
    simple.push_back(d);
  }
  // Where the innermost words do not lie in a row, they are visited one by one.
  if (simple.empty() || simple.back().stride != 1) simple.push_back({1, 1});
  return simple;
}

// Whether the visited words leave no gaps: from the smallest stride on, each must reach
// no further than the extent of those before it.
bool IsDense(std::vector<Dimension> dimensions) {
  const auto stride = [](const Dimension& d) { return std::abs(d.stride); };
  std::sort(
      dimensions.begin(), dimensions.end(),
      [&](const Dimension& a, const Dimension& b) { return stride(a) < stride(b); });
  int64_t extent = 1;
  for (const Dimension& d : dimensions) {
    if (d.size > 1 && stride(d) > extent) return false;
    extent += (d.size - 1) * stride(d);
  }
  return true;
}

}  // namespace

Pattern::Pattern(int64_t base, int64_t length, const std::vector<Dimension>& dimensions)
    : base_(base), length_(length) {
  const std::vector<Dimension> simple = Simplified(length, dimensions);
  int64_t reach = 0, lowest = 0, places = base | kMaxAlignment;
  for (const Dimension& d : simple) {
    const int64_t span = (d.size - 1) * d.stride;
    (span < 0 ? lowest : reach) += span;
    if (&d != &simple.back() && d.size > 1) places |= d.stride;
    padded_ |= d.before != 0 || d.after != 0;
  }
  begin_ = base + lowest;
  end_ = length == 0 ? begin_ : base + reach + 1;
  alignment_ = places & -places;
  const Dimension& inner = simple.back();
  inner_before_ = inner.before;
  inner_size_ = inner.before + inner.size + inner.after;
  run_end_ = inner.before + inner.size;
  run_ = inner.size;
  for (auto d = simple.rbegin() + 1; d != simple.rend(); ++d) {
    outer_.push_back(
        {d->before + d->size + d->after, d->stride, d->before, d->after, 0});
  }
  is_dense_ = IsDense(simple);
  row_ = base - inner_before_;
  for (const Level& level : outer_) row_ -= level.before * level.stride;
}

void Pattern::NextRow() {
  inner_ = 0;
  for (Level& level : outer_) {
    row_ += level.stride;
    if (++level.index < level.size) return;
    row_ -= level.size * level.stride;
    level.index = 0;
  }
}

bool Pattern::InPad() const {
  if (inner_ < inner_before_ || inner_ >= run_end_) return true;
  return std::any_of(outer_.begin(), outer_.end(), [](const Level& level) {
    return level.index < level.before || level.index >= level.size - level.after;
  });
}

int64_t Pattern::PadRun() const {
  return (inner_ < inner_before_ ? inner_before_ : inner_size_) - inner_;
}

}  // namespace jax_npu::sim
