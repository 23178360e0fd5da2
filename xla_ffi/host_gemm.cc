#include "host_gemm.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "counters.h"

namespace jax_npu {
namespace {
#include "bf16.inc"

// Sizes of the blocks that one item of work computes and packs. An f32 block of the
// result and one block of each packed operand together fit the 1 MB L2 of Zen 4.
constexpr int64_t kBlockM = 256;
constexpr int64_t kBlockN = 192;
constexpr int64_t kBlockK = 384;

// Multiply-adds below which another thread costs more than it brings.
constexpr int64_t kMinParallelWork = 1 << 18;

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Memory that a thread keeps between calls.
struct Scratch {
  std::vector<float> block;        // (kBlockM, kBlockN)
  std::vector<uint32_t> lhs, rhs;  // packed strips
};

// A block of the result: rows [m0, m1), columns [n0, n1) of one batch entry.
struct Block {
  int64_t batch, m0, m1, n0, n1;
};

class Gemm {
 public:
  Gemm(const Contraction& contraction, const PartPairs& parts, Operand lhs, Operand rhs,
       Result out)
      : contraction_(contraction),
        parts_(parts),
        lhs_(lhs),
        rhs_(rhs),
        out_(out),
        kernels_(SelectHostKernels()),
        num_blocks_m_(DivideUp(contraction.m.size(), kBlockM)),
        num_blocks_n_(DivideUp(contraction.n.size(), kBlockN)) {}

  int64_t NumBlocks() const {
    return contraction_.batch.size() * num_blocks_m_ * num_blocks_n_;
  }

  void ComputeBlock(int64_t index) const {
    const int64_t m0 = index / num_blocks_n_ % num_blocks_m_ * kBlockM;
    const int64_t n0 = index % num_blocks_n_ * kBlockN;
    const Block block = {index / num_blocks_n_ / num_blocks_m_, m0,
                         std::min(m0 + kBlockM, contraction_.m.size()), n0,
                         std::min(n0 + kBlockN, contraction_.n.size())};
    static thread_local Scratch scratch;
    const int64_t ldc = DivideUp(block.n1 - block.n0, kernels_.nr) * kernels_.nr;
    scratch.block.assign((block.m1 - block.m0) * ldc, 0.0f);
    for (const auto& [lhs_part, rhs_part] : parts_) {
      if (parts_.size() > 1 && lhs_part == 0 && rhs_part == 0) {
        ClearNonFinite(scratch.block);
      }
      for (int64_t k0 = 0; k0 < contraction_.k.size(); k0 += kBlockK) {
        const int64_t num_k = std::min(kBlockK, contraction_.k.size() - k0);
        PackLhs(block, k0, num_k, lhs_part, scratch.lhs);
        PackRhs(block, k0, num_k, rhs_part, scratch.rhs);
        MultiplyPacked(block, num_k, ldc, scratch);
      }
    }
    Store(block, scratch.block.data(), ldc);
  }

 private:
  // Infinity times a lower part, which may be 0 or of either sign, is not what infinity
  // times the value is. The product of first parts comes last and alone decides.
  static void ClearNonFinite(std::vector<float>& lower_products) {
    for (float& value : lower_products) {
      if (!std::isfinite(value)) value = 0.0f;
    }
  }

  // 32-bit words of one packed row or column.
  int64_t NumWords(int64_t num_k) const {
    return DivideUp(num_k * kernels_.packed_bytes, 4);
  }

  void PackLhs(const Block& block, int64_t k0, int64_t num_k, int part,
               std::vector<uint32_t>& packed) const {
    const Group &m = contraction_.m, &k = contraction_.k;
    const Operand operand = Shift(lhs_, contraction_.batch.lhs[block.batch]);
    PackStrips(operand, m.lhs.data() + block.m0, block.m1 - block.m0, k.lhs.data() + k0,
               num_k, part, kernels_.mr, kernels_.pack_lhs, packed);
  }

  void PackRhs(const Block& block, int64_t k0, int64_t num_k, int part,
               std::vector<uint32_t>& packed) const {
    const Group &n = contraction_.n, &k = contraction_.k;
    const Operand operand = Shift(rhs_, contraction_.batch.rhs[block.batch]);
    PackStrips(operand, n.rhs.data() + block.n0, block.n1 - block.n0, k.rhs.data() + k0,
               num_k, part, kernels_.nr, kernels_.pack_rhs, packed);
  }

  void PackStrips(Operand operand, const int64_t* rows, int64_t num_rows,
                  const int64_t* ks, int64_t num_k, int part, int panel,
                  void (*pack)(const Strip&, void*),
                  std::vector<uint32_t>& packed) const {
    const Stopwatch stopwatch(TheCounters().pack_ns);
    const int64_t strip_words = NumWords(num_k) * panel;
    packed.resize(DivideUp(num_rows, panel) * strip_words);
    Count(
        TheCounters().packed_bytes,
        num_rows * num_k * (operand.dtype == DType::kF32 ? 4 : 2) + packed.size() * 4);
    uint32_t* to = packed.data();
    for (int64_t row = 0; row < num_rows; row += panel, to += strip_words) {
      pack({operand.data, operand.dtype, rows + row,
            std::min<int64_t>(panel, num_rows - row), ks, num_k, part},
           to);
    }
  }

  void MultiplyPacked(const Block& block, int64_t num_k, int64_t ldc,
                      Scratch& scratch) const {
    const Stopwatch stopwatch(TheCounters().multiply_ns);
    const int64_t num_words = NumWords(num_k);
    const int64_t num_rows = block.m1 - block.m0;
    for (int64_t n = 0; n < ldc; n += kernels_.nr) {
      for (int64_t m = 0; m < num_rows; m += kernels_.mr) {
        kernels_.multiply(std::min<int64_t>(kernels_.mr, num_rows - m), num_k,
                          scratch.lhs.data() + m * num_words,
                          scratch.rhs.data() + n * num_words,
                          scratch.block.data() + m * ldc + n, ldc);
      }
    }
  }

  void Store(const Block& block, const float* values, int64_t ldc) const {
    const bool is_f32 = out_.dtype == DType::kF32;
    Count(is_f32 ? TheCounters().copied_bytes : TheCounters().converted_bytes,
          (block.m1 - block.m0) * (block.n1 - block.n0) * (is_f32 ? 8 : 6));
    const Offsets &rows = contraction_.m.out, &columns = contraction_.n.out;
    const int64_t base = contraction_.batch.out[block.batch];
    for (int64_t m = block.m0; m < block.m1; ++m, values += ldc) {
      for (int64_t n = block.n0; n < block.n1; ++n) {
        const int64_t at = base + rows[m] + columns[n];
        const float value = values[n - block.n0];
        if (out_.dtype == DType::kF32) {
          static_cast<float*>(out_.data)[at] = value;
        } else {
          static_cast<uint16_t*>(out_.data)[at] = RoundToBf16(Bits(value)) >> 16;
        }
      }
    }
  }

  static Operand Shift(Operand operand, int64_t num_elements) {
    const int64_t num_bytes = num_elements * (operand.dtype == DType::kF32 ? 4 : 2);
    return {static_cast<const char*>(operand.data) + num_bytes, operand.dtype};
  }

  const Contraction& contraction_;
  const PartPairs& parts_;
  const Operand lhs_, rhs_;
  const Result out_;
  const HostKernels& kernels_;
  const int64_t num_blocks_m_, num_blocks_n_;
};

PartPairs Swapped(PartPairs parts) {
  for (auto& [lhs, rhs] : parts) std::swap(lhs, rhs);
  return parts;
}

}  // namespace

void HostGemm(const Contraction& contraction, const PartPairs& parts, Operand lhs,
              Operand rhs, Result out, const ParallelLoop& parallel) {
  const int64_t m = contraction.m.size(), n = contraction.n.size();
  // Columns are padded to a whole register tile, rows are not.
  if (n < m && n < kBlockN / 2 && n % SelectHostKernels().nr != 0) {
    return HostGemm(SwapOperands(contraction), Swapped(parts), rhs, lhs, out, parallel);
  }
  const Gemm gemm(contraction, parts, lhs, rhs, out);
  const auto compute_block = [&](int64_t block) { gemm.ComputeBlock(block); };
  if (contraction.batch.size() * m * n * contraction.k.size() < kMinParallelWork) {
    for (int64_t block = 0; block < gemm.NumBlocks(); ++block) compute_block(block);
  } else {
    parallel(gemm.NumBlocks(), compute_block);
  }
}

}  // namespace jax_npu
