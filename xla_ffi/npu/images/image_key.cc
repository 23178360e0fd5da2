#include "xla_ffi/npu/images/image_key.h"

#include <utility>

namespace jax_npu {
namespace {

// Appends sizes and strides of loops over one operand, joined where it steps evenly,
// after their number.
void AddLoops(const Loops& loops, int64_t Axis::* stride, ImageKey& key) {
  std::vector<std::pair<int64_t, int64_t>> joined;  // (size, stride)
  for (const Axis& axis : loops) {
    const int64_t step = axis.*stride;
    if (!joined.empty() && joined.back().second == step * axis.size) {
      joined.back() = {joined.back().first * axis.size, step};
    } else {
      joined.emplace_back(axis.size, step);
    }
  }
  key.push_back(static_cast<int64_t>(joined.size()));
  for (const auto& [size, step] : joined) key.insert(key.end(), {size, step});
}

}  // namespace

ImageKey KeyOfOperand(int64_t value, const OperandLoops& loops,
                      const std::vector<Bf16Choice>& parts, const ImageLayout& layout) {
  ImageKey key = {value, layout.is_tiled};
  AddLoops(loops.batch, loops.stride, key);
  AddLoops(layout.k_is_rows ? loops.k : loops.free, loops.stride, key);
  AddLoops(layout.k_is_rows ? loops.free : loops.k, loops.stride, key);
  for (const Bf16Choice& choice : parts) {
    key.insert(key.end(), {choice.part, choice.only_finite});
  }
  // Several parts lie along k.
  if (parts.size() > 1) key.push_back(layout.k_is_rows);
  return key;
}

ImageKey KeyOfWindow(ImageKey operand, const ImageLayout& layout,
                     const ImageWindow& window) {
  Range rows = {window.first, window.size}, columns = {0, window.padded_k};
  if (layout.k_is_rows) std::swap(rows, columns);
  operand.insert(operand.end(),
                 {window.first_batch, window.num_batches, rows.first, rows.size,
                  columns.first, columns.size, window.num_past_end});
  return operand;
}

}  // namespace jax_npu
