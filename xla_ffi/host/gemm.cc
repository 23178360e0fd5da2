#include "xla_ffi/host/gemm.h"

#include <algorithm>
#include <numeric>

#include "xla_ffi/base/dtype.h"
#include "xla_ffi/host/in_place/in_place.h"
#include "xla_ffi/host/isa/instruction_set.h"
#include "xla_ffi/host/operand.h"
#include "xla_ffi/host/result_area.h"
#include "xla_ffi/host/scratch.h"
#include "xla_ffi/host/tiles.h"

namespace jax_npu {
namespace {

// With fewer multiply-adds another thread costs more than it saves.
constexpr int64_t kMinParallelWork = 1 << 20;

// C = A B for every entry of the batch: (m, n) = (m, k) (k, n).
class HostProduct {
 public:
  HostProduct(const Contraction& contraction, const PartPairs& parts, Operand lhs,
              Operand rhs, Result out)
      : contraction_(contraction),
        parts_(parts),
        lhs_(lhs),
        rhs_(rhs),
        out_(out),
        kernels_(SelectHostKernels()),
        m_(contraction.m.size()),
        n_(contraction.n.size()),
        k_(contraction.k.size()) {}

  // With many entries each thread multiplies whole ones; with few, all threads share
  // each entry.
  void Run(const ParallelLoop& parallel) const {
    const int64_t num_entries = contraction_.batch.size();
    const bool is_large = num_entries * m_ * n_ * k_ >= kMinParallelWork ||
                          num_entries * n_ * k_ >= kMinParallelElements;
    const ParallelLoop& loop = is_large ? parallel : kSerialLoop;
    if (num_entries < 2 * loop.num_threads) {
      for (int64_t entry = 0; entry < num_entries; ++entry) Multiply(entry, loop);
      return;
    }
    // Eight items for each thread, so that all end at about the same time.
    const int64_t per_item = DivideUp(num_entries, 8 * loop.num_threads);
    loop(DivideUp(num_entries, per_item), [&](int64_t item) {
      const int64_t end = std::min((item + 1) * per_item, num_entries);
      for (int64_t entry = item * per_item; entry < end; ++entry) {
        Multiply(entry, kSerialLoop);
      }
    });
  }

 private:
  void Multiply(int64_t entry, const ParallelLoop& parallel) const {
    // lhs (m, k), rhs as (n, k), target (m, n)
    const Matrix lhs = {At(lhs_.data, lhs_.dtype, contraction_.batch.lhs[entry]),
                        lhs_.dtype, &contraction_.m.lhs, &contraction_.k.lhs};
    const Matrix rhs = {At(rhs_.data, rhs_.dtype, contraction_.batch.rhs[entry]),
                        rhs_.dtype, &contraction_.n.rhs, &contraction_.k.rhs};
    const Target target = {
        {At(out_.data, out_.dtype, contraction_.batch.out[entry]), out_.dtype},
        contraction_.m.out.data(),
        contraction_.n.out.data()};
    if (out_.dtype == DType::kF32 || NumPasses(kernels_, k_, parts_) == 1) {
      return MultiplyByTiles(kernels_, lhs, rhs, parts_, target, parallel);
    }
    MultiplyRounding(lhs, rhs, target, parallel);
  }

  // For a bf16 result of several passes: sums in f32 and rounds at the end.
  void MultiplyRounding(const Matrix& lhs, const Matrix& rhs, const Target& target,
                        const ParallelLoop& parallel) const {
    static thread_local Scratch scratch;
    float* sums = scratch.Reserve<float>(m_ * n_);  // (m, n)
    Offsets rows(m_), columns(n_);
    for (int64_t i = 0; i < m_; ++i) rows[i] = i * n_;  // row-major
    std::iota(columns.begin(), columns.end(), 0);
    const Target unrounded = {{sums, DType::kF32}, rows.data(), columns.data()};
    MultiplyByTiles(kernels_, lhs, rhs, parts_, unrounded, parallel);
    constexpr int64_t kItemRows = 16;
    parallel(DivideUp(m_, kItemRows), [&](int64_t item) {
      const int64_t row = item * kItemRows;
      Store(target, {row, std::min(kItemRows, m_ - row), 0, n_}, sums + row * n_, n_,
            false, kernels_);
    });
  }

  template <typename T>
  static T* At(T* data, DType dtype, int64_t element) {
    using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
    return static_cast<Byte*>(data) + element * NumBytes(dtype);
  }

  const Contraction& contraction_;
  const PartPairs& parts_;
  const Operand lhs_, rhs_;
  const Result out_;
  const HostKernels& kernels_;
  const int64_t m_, n_, k_;
};

// Whether to compute Cᵀ = Bᵀ Aᵀ: kernels write rows of the result.
bool IsBetterSwapped(const Loops& m, const Loops& n) {
  return LieTogether(m, &Axis::out) && !LieTogether(n, &Axis::out);
}

void MultiplyPacked(const Contraction& contraction, const PartPairs& parts, Operand lhs,
                    Operand rhs, Result out, const ParallelLoop& parallel) {
  if (IsBetterSwapped(contraction.m.loops, contraction.n.loops)) {
    const Contraction swapped = SwapOperands(contraction);
    return HostProduct(swapped, SwapOperands(parts), rhs, lhs, out).Run(parallel);
  }
  HostProduct(contraction, parts, lhs, rhs, out).Run(parallel);
}

}  // namespace

int64_t PackedOperandWords(int64_t num_rows, int64_t num_k) {
  return PackedMatrixWords(SelectHostKernels(), num_rows, num_k);
}

void PackOperand(const Axes& axes, bool is_lhs, Operand operand, uint32_t* packed,
                 const ParallelLoop& parallel) {
  const Group rows = Expand(is_lhs ? axes.m : axes.n), ks = Expand(axes.k);
  const Matrix matrix = {operand.data, operand.dtype, is_lhs ? &rows.lhs : &rows.rhs,
                         is_lhs ? &ks.lhs : &ks.rhs};
  PackMatrix(SelectHostKernels(), matrix, is_lhs != IsBetterSwapped(axes.m, axes.n),
             packed, parallel);
}

void HostGemm(const Contraction& contraction, const PartPairs& parts, Operand lhs,
              Operand rhs, Result out, const ParallelLoop& parallel) {
  if (MultiplyInPlace(LoopsOf(contraction), parts, lhs, rhs, out, parallel)) return;
  MultiplyPacked(contraction, parts, lhs, rhs, out, parallel);
}

void HostGemm(const Axes& axes, const PartPairs& parts, Operand lhs, Operand rhs,
              Result out, const ParallelLoop& parallel) {
  if (MultiplyInPlace(axes, parts, lhs, rhs, out, parallel)) return;
  MultiplyPacked(Expand(axes), parts, lhs, rhs, out, parallel);
}

}  // namespace jax_npu
