// Dot products: one row and one column in each entry of the batch.

#include <algorithm>

#include "xla_ffi/base/counters.h"
#include "xla_ffi/host/in_place/products.h"
#include "xla_ffi/host/isa/instruction_set.h"
#include "xla_ffi/host/operand.h"
#include "xla_ffi/host/scratch.h"

namespace jax_npu {
namespace {

constexpr int64_t kDotsPerStore = 1024;
constexpr int64_t kMinRunOfDots = 8;
// The least part of a long dot product for a thread.
constexpr int64_t kMinSplitK = 1 << 14;

class Dots {
 public:
  Dots(const InPlace& product, const Axis& dots, const Axis& k, const AxisList& entries)
      : product_(product), dots_(dots), k_(k), entries_(entries) {}

  bool AreRuns() const {
    return IsRun(k_) || (IsRun(dots_) && dots_.size >= kMinRunOfDots);
  }

  void Run(const ParallelLoop& parallel) const {
    const int64_t num_entries = entries_.NumIndices();
    const bool is_large = num_entries * dots_.size * k_.size >= kMinParallelElements;
    const int64_t num_items = is_large ? kItemsPerThread * parallel.num_threads : 1;
    if (num_entries * dots_.size < num_items && IsRun(k_)) {
      return RunSplit(num_entries * dots_.size, num_items, parallel);
    }
    const int64_t per_item =
        std::min(DivideUp(num_entries * dots_.size, num_items), dots_.size);
    const int64_t items_per_entry = DivideUp(dots_.size, per_item);
    const ParallelLoop& loop = is_large ? parallel : kSerialLoop;
    loop(num_entries * items_per_entry, [&](int64_t item) {
      const Stopwatch stopwatch(TheCounters().multiply_ns);
      const Axis at = entries_.At(item / items_per_entry);
      const int64_t first = item % items_per_entry * per_item;
      const int64_t last = std::min(first + per_item, dots_.size);
      for (int64_t dot = first; dot < last; dot += kDotsPerStore) {
        float sums[kDotsPerStore];
        const int64_t num_dots = std::min(last - dot, kDotsPerStore);
        Multiply(at, dot, num_dots, 0, k_.size, sums);
        product_.StoreRun(sums, num_dots, at.out + dot * dots_.out, dots_.out);
      }
    });
  }

 private:
  static bool IsRun(const Axis& axis) {
    return axis.size == 1 || (axis.lhs == 1 && axis.rhs == 1);
  }

  // Few long dot products: the threads share each of them.
  void RunSplit(int64_t num_dots, int64_t num_items,
                const ParallelLoop& parallel) const {
    const int64_t per_part =
        std::max(DivideUp(k_.size * num_dots, num_items), kMinSplitK);
    const int64_t num_parts = DivideUp(k_.size, per_part);
    static thread_local Scratch scratch;
    float* sums = scratch.Reserve<float>(num_dots * num_parts);
    const ParallelLoop& loop = num_items > 1 ? parallel : kSerialLoop;
    loop(num_dots * num_parts, [&](int64_t item) {
      const Stopwatch stopwatch(TheCounters().multiply_ns);
      const int64_t dot = item / num_parts, k = item % num_parts * per_part;
      Multiply(entries_.At(dot / dots_.size), dot % dots_.size, 1, k,
               std::min(per_part, k_.size - k), sums + item);
    });
    for (int64_t dot = 0; dot < num_dots; ++dot) {
      float sum = 0;
      for (int64_t part = 0; part < num_parts; ++part)
        sum += sums[dot * num_parts + part];
      const Axis at = entries_.At(dot / dots_.size);
      product_.StoreRun(&sum, 1, at.out + dot % dots_.size * dots_.out, 1);
    }
  }

  void Multiply(const Axis& at, int64_t dot, int64_t num_dots, int64_t k, int64_t num_k,
                float* sums) const {
    const int64_t lhs = at.lhs + dot * dots_.lhs + k * k_.lhs;
    const int64_t rhs = at.rhs + dot * dots_.rhs + k * k_.rhs;
    const bool along = IsRun(k_);
    product_.kernels.multiply_dots(
        {At(product_.lhs, lhs), At(product_.rhs, rhs),
         At(product_.lhs, lhs + (num_dots - 1) * dots_.lhs + (num_k - 1) * k_.lhs + 1),
         At(product_.rhs, rhs + (num_dots - 1) * dots_.rhs + (num_k - 1) * k_.rhs + 1),
         product_.lhs.dtype, product_.rhs.dtype, product_.exact, along ? 1 : k_.lhs,
         along ? 1 : k_.rhs, dots_.lhs, dots_.rhs, num_k, num_dots, sums});
  }

  const InPlace& product_;
  const Axis dots_, k_;
  const AxisList& entries_;
};

}  // namespace

bool MultiplyDots(const InPlace& product, const ParallelLoop& parallel) {
  if (product.k.size() > 1) return false;
  AxisList entries = product.batch, ks = product.k;
  const Axis dots = entries.TakeInner(), k = ks.TakeInner();
  const Dots product_of_runs(product, dots, k, entries);
  if (!product_of_runs.AreRuns()) return false;
  product_of_runs.Run(parallel);
  const int64_t num_elements = entries.NumIndices() * dots.size * k.size;
  Count(TheCounters().converted_bytes,
        num_elements * (NumBytes(product.lhs.dtype) + NumBytes(product.rhs.dtype)));
  return true;
}

}  // namespace jax_npu
