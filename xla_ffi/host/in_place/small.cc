// Many small products: a task takes a run of the batch, widens its operands to f32 in
// the first-level cache and multiplies them there.

#include <algorithm>

#include "xla_ffi/base/counters.h"
#include "xla_ffi/host/in_place/products.h"
#include "xla_ffi/host/isa/instruction_set.h"
#include "xla_ffi/host/operand.h"
#include "xla_ffi/host/scratch.h"

namespace jax_npu {
namespace {

constexpr int64_t kMaxSmallSize = 256;     // of m, k and n
constexpr int64_t kMaxSmallMatrix = 2048;  // elements of an operand
constexpr int64_t kMaxSmallResult = 4096;  // elements
constexpr int64_t kChunkElements = 6144;   // in the caches at a time
constexpr int64_t kPadding = 2 * kPanel;   // see SmallJob
constexpr int64_t kMinParallelProducts = 1 << 20;

using Stride = int64_t Axis::*;

// Where the elements of one entry's matrix lie.
struct Place {
  int64_t num_rows, num_columns;
  int64_t rows[kMaxSmallSize], columns[kMaxSmallSize];
  enum { kByRow, kByColumn, kScattered } order;  // the first two are runs
  bool is_dense;                                 // entry after entry is one run, too

  Place(const InPlace& product, const AxisList& row_axes, const AxisList& column_axes,
        Stride stride)
      : num_rows(row_axes.NumIndices()), num_columns(column_axes.NumIndices()) {
    row_axes.Expand(stride, rows);
    column_axes.Expand(stride, columns);
    order = IsRun(columns, num_columns, 1) && IsRun(rows, num_rows, num_columns)
                ? kByRow
            : IsRun(rows, num_rows, 1) && IsRun(columns, num_columns, num_rows)
                ? kByColumn
                : kScattered;
    is_dense =
        order != kScattered &&
        (product.batch.size() == 0 ||
         (product.batch.size() == 1 && product.batch.begin()->*stride == size()));
  }

  int64_t size() const { return num_rows * num_columns; }

  static bool IsRun(const int64_t* offsets, int64_t size, int64_t stride) {
    for (int64_t i = 0; i < size; ++i) {
      if (offsets[i] != i * stride) return false;
    }
    return true;
  }
};

class SmallProduct {
 public:
  explicit SmallProduct(const InPlace& product)
      : product_(product),
        lhs_(product, product.m, product.k, &Axis::lhs),
        rhs_(product, product.k, product.n, &Axis::rhs),
        out_(product, product.m, product.n, &Axis::out),
        // A row's last vector may reach into the next row, which is written after it.
        c_row_(out_.num_columns <= 2 * product.kernels.num_lanes
                   ? out_.num_columns
                   : DivideUp(out_.num_columns, kPadding) * kPadding),
        writes_in_place_(WritesInPlace()) {}

  void Run(const ParallelLoop& parallel) const {
    const int64_t batch = product_.batch.NumIndices();
    const int64_t elements = lhs_.size() + rhs_.size() + out_.size();
    const bool is_large =
        batch * elements >= kMinParallelElements ||
        batch * lhs_.size() * rhs_.num_columns >= kMinParallelProducts;
    const ParallelLoop& loop = is_large ? parallel : kSerialLoop;
    const int64_t chunk = std::max<int64_t>(
        kChunkElements / (lhs_.size() + rhs_.size() + out_.num_rows * c_row_), 1);
    const int64_t num_items = is_large ? kItemsPerThread * loop.num_threads : 1;
    const int64_t per_item = DivideUp(batch, num_items);
    loop(DivideUp(batch, per_item), [&](int64_t item) {
      const Stopwatch stopwatch(TheCounters().multiply_ns);
      const int64_t end = std::min((item + 1) * per_item, batch);
      for (int64_t entry = item * per_item; entry < end; entry += chunk) {
        Multiply(entry, std::min(chunk, end - entry));
      }
    });
    Count(TheCounters().converted_bytes,
          batch * (lhs_.size() * NumBytes(product_.lhs.dtype) +
                   rhs_.size() * NumBytes(product_.rhs.dtype)));
  }

 private:
  // Whether the kernel writes where the result lies: nothing may be written beyond it.
  bool WritesInPlace() const {
    return product_.out.dtype == DType::kF32 && out_.is_dense &&
           out_.order == Place::kByRow &&
           out_.num_columns % product_.kernels.num_lanes == 0;
  }

  void Multiply(int64_t entry, int64_t num_entries) const {
    static thread_local Scratch scratch;
    const int64_t lhs_size = num_entries * lhs_.size(),
                  rhs_size = num_entries * rhs_.size(),
                  c_size = num_entries * out_.num_rows * c_row_;
    float* lhs = scratch.Reserve<float>(lhs_size + rhs_size + c_size + kMaxSmallMatrix +
                                        2 * kPadding);
    float* rhs = lhs + lhs_size;
    float* c = rhs + rhs_size + kPadding;
    float* turned = c + c_size + kPadding;
    const int64_t c_row = writes_in_place_ ? out_.num_columns : c_row_;
    if (writes_in_place_) {
      c = static_cast<float*>(product_.out.data) + entry * out_.size();
    }
    const bool lhs_by_column = lhs_.order == Place::kByColumn;
    Load(product_.lhs, lhs_, &Axis::lhs, entry, num_entries, nullptr, lhs);
    Load(product_.rhs, rhs_, &Axis::rhs, entry, num_entries, turned, rhs);
    product_.kernels.multiply_small({num_entries, out_.num_rows, lhs_.num_columns,
                                     out_.num_columns, lhs, rhs, c, lhs_.size(),
                                     lhs_by_column ? 1 : lhs_.num_columns,
                                     lhs_by_column ? lhs_.num_rows : 1, rhs_.size(),
                                     rhs_.num_columns, out_.num_rows * c_row, c_row});
    if (!writes_in_place_) StoreResults(entry, num_entries, c);
  }

  // Writes entries as (entries, rows, columns). With `turned`, which takes one matrix,
  // also those that lie by column; else they stay (entries, columns, rows).
  void Load(Operand operand, const Place& place, Stride stride, int64_t entry,
            int64_t num_entries, float* turned, float* to) const {
    const bool turns = place.order == Place::kByColumn && turned != nullptr;
    if (place.is_dense && !turns) {
      return product_.LoadRun(operand, entry * place.size(), 1,
                              num_entries * place.size(), to);
    }
    for (int64_t i = entry; i < entry + num_entries; ++i, to += place.size()) {
      const int64_t at = product_.batch.At(i).*stride;
      if (place.order != Place::kScattered) {
        product_.LoadRun(operand, at, 1, place.size(), turns ? turned : to);
        if (turns) Turn(turned, place, to);
        continue;
      }
      const int64_t* columns = place.columns;
      const int64_t step = place.num_columns > 1 ? columns[1] : 1;
      if (Place::IsRun(columns, place.num_columns, step)) {
        for (int64_t r = 0; r < place.num_rows; ++r) {
          product_.LoadRun(operand, at + place.rows[r], step, place.num_columns,
                           to + r * place.num_columns);
        }
        continue;
      }
      for (int64_t r = 0; r < place.num_rows; ++r) {
        for (int64_t c = 0; c < place.num_columns; ++c) {
          product_.LoadRun(operand, at + place.rows[r] + columns[c], 1, 1,
                           to + r * place.num_columns + c);
        }
      }
    }
  }

  static void Turn(const float* from, const Place& place, float* to) {
    for (int64_t r = 0; r < place.num_rows; ++r) {
      for (int64_t c = 0; c < place.num_columns; ++c) {
        to[r * place.num_columns + c] = from[c * place.num_rows + r];
      }
    }
  }

  void StoreResults(int64_t entry, int64_t num_entries, const float* c) const {
    if (out_.is_dense && out_.order == Place::kByRow && c_row_ == out_.num_columns) {
      return product_.StoreRun(c, num_entries * out_.size(), entry * out_.size(), 1);
    }
    const int64_t step = out_.num_columns > 1 ? out_.columns[1] : 1;
    const bool is_run = Place::IsRun(out_.columns, out_.num_columns, step);
    for (int64_t i = entry; i < entry + num_entries; ++i) {
      const int64_t at = product_.batch.At(i).out;
      for (int64_t r = 0; r < out_.num_rows; ++r, c += c_row_) {
        const int64_t row = at + out_.rows[r];
        if (is_run) {
          product_.StoreRun(c, out_.num_columns, row, step);
          continue;
        }
        for (int64_t j = 0; j < out_.num_columns; ++j) {
          product_.StoreRun(c + j, 1, row + out_.columns[j], 1);
        }
      }
    }
  }

  const InPlace& product_;
  const Place lhs_, rhs_, out_;
  const int64_t c_row_;
  const bool writes_in_place_;
};

}  // namespace

bool IsSmall(int64_t m, int64_t k, int64_t n) {
  return std::max({m, k, n}) <= kMaxSmallSize &&
         std::max(m * k, k * n) <= kMaxSmallMatrix && m * n <= kMaxSmallResult;
}

void MultiplySmall(const InPlace& product, const ParallelLoop& parallel) {
  SmallProduct(product).Run(parallel);
}

}  // namespace jax_npu
