// Products of a few rows of lhs by a matrix that is read once, where it lies.

#include <algorithm>

#include "xla_ffi/base/counters.h"
#include "xla_ffi/host/in_place/products.h"
#include "xla_ffi/host/isa/instruction_set.h"
#include "xla_ffi/host/operand.h"
#include "xla_ffi/host/scratch.h"

namespace jax_npu {
namespace {

// The size of the rounded rows, in f32: they stay in the first-level cache.
constexpr int64_t kChunkElements = 4096;
// Columns that one thread takes are a multiple of this.
constexpr int64_t kColumnMultiple = 16;
// The least number of contracted indices for a thread.
constexpr int64_t kMinSplitK = 1 << 10;

// The sums of all rows over a range of columns and of contracted indices.
struct Range {
  int64_t column, num_columns, k, num_k;
};

class RowsProduct {
 public:
  explicit RowsProduct(const InPlace& product)
      : product_(product),
        entries_(product.batch),
        outer_ks_(product.k),
        num_rows_(static_cast<int>(product.m.NumIndices())),
        kernel_rows_(num_rows_ > 4   ? kFewRows
                     : num_rows_ > 2 ? 4
                                     : num_rows_) {
    AxisList columns = product.n;
    columns_ = columns.TakeInner();
    for (const Axis& axis : columns) entries_.Add(axis);
    ks_ = outer_ks_.TakeInner();
    across_ = columns_.size > 1 && columns_.rhs == 1;
    for (int r = 0; r < num_rows_; ++r) rows_[r] = product.m.At(r);
  }

  void Run(const ParallelLoop& parallel) const {
    const int64_t num_entries = entries_.NumIndices(), n = columns_.size;
    const int64_t k = ks_.size * outer_ks_.NumIndices();
    const bool is_large = num_entries * n * k >= kMinParallelElements;
    const ParallelLoop& loop = is_large ? parallel : kSerialLoop;
    const int64_t num_items =
        loop.num_threads > 1 ? kItemsPerThread * loop.num_threads : 1;
    if (num_entries >= num_items) {
      const int64_t per_item = DivideUp(num_entries, num_items);
      loop(DivideUp(num_entries, per_item), [&](int64_t item) {
        const int64_t end = std::min((item + 1) * per_item, num_entries);
        for (int64_t entry = item * per_item; entry < end; ++entry) {
          Multiply(entries_.At(entry), {0, n, 0, ks_.size});
        }
      });
    } else if (num_entries * n >= 4 * loop.num_threads * kColumnMultiple) {
      const int64_t per_item =
          DivideUp(DivideUp(num_entries * n, across_ ? num_items / 2 : num_items),
                   kColumnMultiple) *
          kColumnMultiple;
      const int64_t per_entry = DivideUp(n, per_item);
      loop(num_entries * per_entry, [&](int64_t item) {
        const int64_t first = item % per_entry * per_item;
        Multiply(entries_.At(item / per_entry),
                 {first, std::min(per_item, n - first), 0, ks_.size});
      });
    } else {
      for (int64_t entry = 0; entry < num_entries; ++entry) {
        MultiplySplit(entries_.At(entry), num_items, loop);
      }
    }
    CountBytes(num_entries);
  }

 private:
  void Multiply(const Axis& at, const Range& range) const {
    static thread_local Scratch scratch;
    const Stopwatch stopwatch(TheCounters().multiply_ns);
    const bool in_place =
        product_.out.dtype == DType::kF32 && (columns_.out == 1 || columns_.size == 1);
    float* sums = scratch.Reserve<float>(
        (in_place ? kernel_rows_ - num_rows_ : kernel_rows_) * range.num_columns);
    float* c[kFewRows];
    for (int r = 0; r < kernel_rows_; ++r) {
      if (in_place && r < num_rows_) {
        c[r] = static_cast<float*>(product_.out.data) + at.out + rows_[r].out +
               range.column;
      } else {
        c[r] = sums;
        sums += range.num_columns;
      }
    }
    Sum(at, range, c);
    if (in_place) return;
    for (int r = 0; r < num_rows_; ++r) {
      product_.StoreRun(c[r], range.num_columns,
                        at.out + rows_[r].out + range.column * columns_.out,
                        columns_.out);
    }
  }

  // Few columns: the threads share the contracted indices.
  void MultiplySplit(const Axis& at, int64_t num_items,
                     const ParallelLoop& parallel) const {
    static thread_local Scratch scratch;
    const int64_t n = columns_.size, part_size = kernel_rows_ * n;
    const int64_t per_part = std::max(DivideUp(ks_.size, num_items), kMinSplitK);
    const int64_t num_parts = DivideUp(ks_.size, per_part);
    float* sums = scratch.Reserve<float>(num_parts * part_size);  // (parts, rows, n)
    parallel(num_parts, [&](int64_t part) {
      const Stopwatch stopwatch(TheCounters().multiply_ns);
      float* c[kFewRows];
      for (int r = 0; r < kernel_rows_; ++r) c[r] = sums + part * part_size + r * n;
      const int64_t k = part * per_part;
      Sum(at, {0, n, k, std::min(per_part, ks_.size - k)}, c);
    });
    for (int64_t part = 1; part < num_parts; ++part) {
      for (int64_t i = 0; i < part_size; ++i) sums[i] += sums[part * part_size + i];
    }
    for (int r = 0; r < num_rows_; ++r) {
      product_.StoreRun(sums + r * n, n, at.out + rows_[r].out, columns_.out);
    }
  }

  // c[r][column - range.column] = the sum over the range of contracted indices.
  void Sum(const Axis& at, const Range& range, float* const* c) const {
    bool accumulate = false;
    for (int64_t outer = 0; outer < outer_ks_.NumIndices(); ++outer) {
      const Axis outer_k = outer_ks_.At(outer);
      for (int64_t k = 0; k < range.num_k; k += kChunkElements / kernel_rows_) {
        const int64_t chunk = std::min(kChunkElements / kernel_rows_, range.num_k - k);
        const int64_t lhs = at.lhs + outer_k.lhs + (range.k + k) * ks_.lhs;
        const int64_t rhs = at.rhs + outer_k.rhs + (range.k + k) * ks_.rhs +
                            range.column * columns_.rhs;
        SumChunk(lhs, rhs, chunk, range.num_columns, c, accumulate);
        accumulate = true;
      }
    }
  }

  void SumChunk(int64_t lhs, int64_t rhs, int64_t num_k, int64_t num_columns,
                float* const* c, bool accumulate) const {
    static thread_local Scratch scratch;
    const int64_t stride = DivideUp(num_k, kPanel) * kPanel;
    float* rows = scratch.Reserve<float>(kernel_rows_ * stride);
    for (int r = 0; r < kernel_rows_; ++r) {
      float* row = rows + r * stride;
      const int64_t size = r < num_rows_ ? num_k : 0;
      if (size > 0) {
        product_.LoadRun(product_.lhs, lhs + rows_[r].lhs, ks_.lhs, num_k, row);
      }
      std::fill(row + size, row + stride, 0.0f);
    }
    RowsJob job = {rows,
                   stride,
                   num_rows_,
                   At(product_.rhs, rhs),
                   At(product_.rhs, rhs + (num_k - 1) * ks_.rhs +
                                        (num_columns - 1) * columns_.rhs + 1),
                   product_.rhs.dtype,
                   product_.exact,
                   ks_.rhs,
                   columns_.rhs,
                   num_k,
                   num_columns,
                   c,
                   accumulate};
    if (!across_ && num_k == 1) job.k_stride = 1;
    if (across_ || job.k_stride == 1) return product_.kernels.multiply_rows(job);
    SumGathered(job, rhs, c);
  }

  // Neither the columns nor the contracted indices are neighbours in memory.
  void SumGathered(RowsJob job, int64_t rhs, float* const* c) const {
    static thread_local Scratch scratch;
    const int64_t num_columns = job.num_columns;
    float* column = scratch.Reserve<float>(job.lhs_stride);
    job.rhs = column;
    job.rhs_end = column + job.num_k;
    job.dtype = DType::kF32;
    job.exact = true;
    job.k_stride = 1;
    job.num_columns = 1;
    float* one[kFewRows];
    job.c = one;
    for (int64_t i = 0; i < num_columns; ++i) {
      product_.LoadRun(product_.rhs, rhs + i * columns_.rhs, ks_.rhs, job.num_k,
                       column);
      for (int r = 0; r < kernel_rows_; ++r) one[r] = c[r] + i;
      product_.kernels.multiply_rows(job);
    }
  }

  void CountBytes(int64_t num_entries) const {
    const int64_t k = ks_.size * outer_ks_.NumIndices();
    const int64_t lhs_bytes = NumBytes(product_.lhs.dtype) + sizeof(float);
    Count(TheCounters().packed_bytes,
          product_.batch.NumIndices() * num_rows_ * k * lhs_bytes);
    Count(TheCounters().converted_bytes,
          num_entries * columns_.size * k * NumBytes(product_.rhs.dtype));
  }

  const InPlace& product_;
  AxisList entries_, outer_ks_;
  Axis columns_, ks_;
  Axis rows_[kFewRows];
  bool across_;  // columns are neighbours in rhs: longer ranges are longer runs
  const int num_rows_, kernel_rows_;
};

}  // namespace

void MultiplyRows(const InPlace& product, const ParallelLoop& parallel) {
  RowsProduct(product).Run(parallel);
}

}  // namespace jax_npu
