#include "xla_ffi/host/in_place/in_place.h"

#include <algorithm>

#include "xla_ffi/host/in_place/products.h"
#include "xla_ffi/host/isa/instruction_set.h"

namespace jax_npu {
namespace {

constexpr int64_t kMinRowElements = 128, kMinRun = 8;

bool Copy(const Loops& loops, AxisList& list) {
  if (loops.size() > AxisList::kMaxSize) return false;
  for (const Axis& axis : loops) {
    if (axis.size != 1) list.Add(axis);
  }
  return true;
}

// Whether the rows, rather than the contracted indices, are neighbours in lhs.
bool LiesAcross(const InPlace& product) {
  return product.m.size() > 0 && (product.m.end() - 1)->lhs == 1;
}

}  // namespace

bool MultiplyInPlace(const Axes& axes, const PartPairs& parts, Operand lhs, Operand rhs,
                     Result out, const ParallelLoop& parallel) {
  if (lhs.dtype == DType::kPacked || rhs.dtype == DType::kPacked) return false;
  InPlace product = {
      {}, {}, {}, {}, lhs, rhs, out, parts.size() > 1, SelectHostKernels()};
  if (!Copy(axes.batch, product.batch) || !Copy(axes.m, product.m) ||
      !Copy(axes.k, product.k) || !Copy(axes.n, product.n)) {
    return false;
  }
  // Rows would take the outer axes of the columns, too.
  if (product.batch.size() + product.m.size() + product.n.size() > AxisList::kMaxSize) {
    return false;
  }
  const int64_t batch = product.batch.NumIndices(), k = product.k.NumIndices();
  const int64_t m = product.m.NumIndices(), n = product.n.NumIndices();
  if (batch * m * n == 0) return true;
  if (k == 0) return false;
  if (m * n == 1 && MultiplyDots(product, parallel)) return true;
  if (n < m && (n <= kFewRows || LiesAcross(product))) product.Swap();
  const int64_t rows = std::min(m, n);
  // One or two rows are best read where they lie, unless that is in short runs.
  const bool is_row = rows <= 2 && std::max(m, n) * k >= kMinRowElements &&
                      std::min(k, std::max(m, n)) >= kMinRun;
  if (!is_row && IsSmall(m, k, n)) {
    MultiplySmall(product, parallel);
    return true;
  }
  if (rows > kFewRows) return false;
  MultiplyRows(product, parallel);
  return true;
}

}  // namespace jax_npu
