#include "npu_gemm.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <mutex>
#include <utility>

#include "npu_pack.h"

namespace jax_npu {
namespace {
#include "bf16.inc"

constexpr int kA = 0, kB = 1, kC = 2, kNumArguments = 3;

constexpr int64_t kStripRows = 64;  // of an image, packed as one item of work
// Elements below which another thread costs more than it brings.
constexpr int64_t kMinParallelSize = 1 << 16;

const void* At(const void* data, DType dtype, int64_t element) {
  return static_cast<const char*>(data) + element * (dtype == DType::kF32 ? 4 : 2);
}

// An operand of the array's GEMM, and how its image lies. Its free dimension is m or n.
struct Source {
  Operand operand;
  const Offsets &batch, &free, &k;
  std::vector<Bf16Choice> parts;  // one pass over k each
  bool k_is_rows;                 // of the image
};

// The part of an image that a run needs: all of k, and of the free dimension a range.
struct Window {
  int64_t first_batch, num_batches;
  int64_t first, size;  // of the free dimension, size with padding
  int64_t padded_k;

  bool operator==(const Window& other) const {
    return first_batch == other.first_batch && num_batches == other.num_batches &&
           first == other.first && size == other.size;
  }
};

void FillZero(uint16_t* image, int64_t num_rows, int64_t first, int64_t end,
              int64_t stride) {
  for (int64_t row = 0; row < num_rows; ++row) {
    std::fill(image + row * stride + first, image + row * stride + end, 0);
  }
}

// Rows [first, end) of one batch entry's image (free, k).
void PackAlongK(const Source& source, const Window& window, const void* data,
                int64_t first, int64_t end, uint16_t* image) {
  const int64_t num_free = static_cast<int64_t>(source.free.size());
  const int64_t num_k = static_cast<int64_t>(source.k.size());
  const int64_t left = num_free - window.first - first;
  const int64_t num_rows = std::clamp<int64_t>(left, 0, end - first);
  int64_t column = 0;
  for (const Bf16Choice& part : source.parts) {
    PackImage(
        data, source.operand.dtype,
        {source.free.data() + window.first + first, num_rows, source.k.data(), num_k},
        part, image + column, window.padded_k);
    column += num_k;
  }
  FillZero(image, num_rows, column, window.padded_k, window.padded_k);
  FillZero(image + num_rows * window.padded_k, end - first - num_rows, 0,
           window.padded_k, window.padded_k);
}

// Rows [first, end) of one batch entry's image (k, free).
void PackAcrossK(const Source& source, const Window& window, const void* data,
                 int64_t first, int64_t end, uint16_t* image) {
  const int64_t num_free = static_cast<int64_t>(source.free.size());
  const int64_t num_k = static_cast<int64_t>(source.k.size());
  const int64_t num_columns = std::min(num_free - window.first, window.size);
  int64_t row = first;
  while (row < end && row / num_k < static_cast<int64_t>(source.parts.size())) {
    const int64_t k = row % num_k, num_rows = std::min(num_k - k, end - row);
    PackImage(
        data, source.operand.dtype,
        {source.k.data() + k, num_rows, source.free.data() + window.first, num_columns},
        source.parts[row / num_k], image, window.size);
    FillZero(image, num_rows, num_columns, window.size, window.size);
    image += num_rows * window.size;
    row += num_rows;
  }
  FillZero(image, end - row, 0, window.size, window.size);
}

// Calls f(item) for every item, in parallel where there is enough to do.
void ForEach(int64_t num_items, int64_t total_size, const ParallelLoop& parallel,
             const std::function<void(int64_t)>& f) {
  if (total_size >= kMinParallelSize) return parallel(num_items, f);
  for (int64_t item = 0; item < num_items; ++item) f(item);
}

void Pack(const Source& source, const Window& window, uint16_t* image,
          const ParallelLoop& parallel) {
  const int64_t num_rows = source.k_is_rows ? window.padded_k : window.size;
  const int64_t num_columns = source.k_is_rows ? window.size : window.padded_k;
  const int64_t num_strips = (num_rows + kStripRows - 1) / kStripRows;
  ForEach(window.num_batches * num_strips, window.num_batches * num_rows * num_columns,
          parallel, [&](int64_t item) {
            const int64_t batch = item / num_strips;
            const int64_t first = item % num_strips * kStripRows;
            const int64_t end = std::min(first + kStripRows, num_rows);
            const void* data = At(source.operand.data, source.operand.dtype,
                                  source.batch[window.first_batch + batch]);
            uint16_t* strip = image + (batch * num_rows + first) * num_columns;
            (source.k_is_rows ? PackAcrossK : PackAlongK)(source, window, data, first,
                                                          end, strip);
          });
}

class Gemm {
 public:
  Gemm(Driver& driver, const NpuPlan& plan, const Contraction& contraction,
       const PartPairs& parts, Operand lhs, Operand rhs, Result out,
       const ParallelLoop& parallel)
      : driver_(driver),
        plan_(plan),
        contraction_(contraction),
        a_{lhs, contraction.batch.lhs, contraction.m.lhs, contraction.k.lhs, {}, false},
        b_{rhs, contraction.batch.rhs, contraction.n.rhs, contraction.k.rhs,
           {},  !plan.b_column_major},
        out_(out),
        parallel_(parallel) {
    for (const auto& [lhs_part, rhs_part] : parts) {
      // Infinity times a lower part, which may be 0 or of either sign, is not what
      // infinity times the value is: the product of first parts alone decides.
      const bool only_finite = parts.size() > 1 && lhs_part + rhs_part > 0;
      a_.parts.push_back({lhs_part, only_finite});
      b_.parts.push_back({rhs_part, only_finite});
    }
  }

  void Compute(const NpuRun& run, const uint32_t* words) {
    const int64_t m = run.grid[1] * plan_.block_m, n = run.grid[2] * plan_.block_n;
    Load(kA, a_,
         {run.start[0], run.grid[0], run.start[1] * plan_.block_m, m, plan_.padded_k});
    Load(kB, b_,
         {run.start[0], run.grid[0], run.start[2] * plan_.block_n, n, plan_.padded_k});
    const size_t num_bytes = run.grid[0] * m * n * sizeof(float);
    const std::byte* c = driver_.Buffer(kC, num_bytes);
    driver_.Start(words, run.num_words, kNumArguments);
    driver_.Wait();
    driver_.SyncFromDevice(kC, num_bytes);
    Unpack(run, reinterpret_cast<const float*>(c), m, n);
  }

 private:
  // Brings an image to the device, unless the run before has left it there.
  void Load(int argument, const Source& source, const Window& window) {
    if (loaded_[argument] == window) return;
    const size_t num_bytes =
        window.num_batches * window.size * window.padded_k * sizeof(uint16_t);
    std::byte* image = driver_.Buffer(argument, num_bytes);
    Pack(source, window, reinterpret_cast<uint16_t*>(image), parallel_);
    driver_.SyncToDevice(argument, num_bytes);
    loaded_[argument] = window;
  }

  void Unpack(const NpuRun& run, const float* image, int64_t m, int64_t n) const {
    const Offsets &rows = contraction_.m.out, &columns = contraction_.n.out;
    const int64_t row0 = run.start[1] * plan_.block_m;
    const int64_t column0 = run.start[2] * plan_.block_n;
    const int64_t num_rows = std::min(contraction_.m.size() - row0, m);
    const int64_t num_columns = std::min(contraction_.n.size() - column0, n);
    const int64_t num_strips = (num_rows + kStripRows - 1) / kStripRows;
    ForEach(run.grid[0] * num_strips, run.grid[0] * num_rows * num_columns, parallel_,
            [&](int64_t item) {
              const int64_t batch = item / num_strips;
              const int64_t first = item % num_strips * kStripRows;
              const int64_t base = contraction_.batch.out[run.start[0] + batch];
              UnpackImage(
                  image + (batch * m + first) * n, n,
                  {rows.data() + row0 + first, std::min(kStripRows, num_rows - first),
                   columns.data() + column0, num_columns},
                  out_.dtype, const_cast<void*>(At(out_.data, out_.dtype, base)));
            });
  }

  Driver& driver_;
  const NpuPlan& plan_;
  const Contraction& contraction_;
  Source a_, b_;
  const Result out_;
  const ParallelLoop& parallel_;
  Window loaded_[2] = {};
};

// The largest biased exponent of the finite values.
uint32_t LargestExponent(Operand operand, int64_t size) {
  constexpr uint32_t kMask = 0x7F800000u;
  uint32_t largest = 0;
  const auto scan = [&](const auto* data) {
    for (int64_t i = 0; i < size; ++i) {
      const uint32_t exponent = LoadBits(data + i) & kMask;
      largest = std::max(largest, exponent == kMask ? 0 : exponent);
    }
  };
  if (operand.dtype == DType::kF32) {
    scan(static_cast<const float*>(operand.data));
  } else {
    scan(static_cast<const uint16_t*>(operand.data));
  }
  return largest >> 23;
}

// The product of first parts comes last, which is most accurate. But where a sum of
// lower products may overflow, it comes first: an infinity of the wrong sign would
// stay.
PartPairs Ordered(PartPairs parts, const Contraction& contraction, Operand lhs,
                  Operand rhs) {
  if (parts.size() == 1) return parts;
  const int64_t k = contraction.k.size(), batch = contraction.batch.size();
  const double largest = LargestExponent(lhs, batch * contraction.m.size() * k) +
                         LargestExponent(rhs, batch * contraction.n.size() * k) +
                         std::log2(parts.size() * k);
  // Both exponents have a bias of 127, mantissas are below 2, and one of the factors is
  // at most 2^-8 of its value.
  if (largest - 2 * 127 + 2 - 8 >= 127) {
    std::rotate(parts.begin(), parts.end() - 1, parts.end());
  }
  return parts;
}

PartPairs Swapped(PartPairs parts) {
  for (auto& [lhs, rhs] : parts) std::swap(lhs, rhs);
  return parts;
}

}  // namespace

void NpuGemm(Driver& driver, const NpuPlan& plan, const uint32_t* words,
             const Contraction& contraction, const PartPairs& parts, Operand lhs,
             Operand rhs, Result out, const ParallelLoop& parallel) {
  if (plan.swapped) {
    NpuPlan turned = plan;
    turned.swapped = false;
    return NpuGemm(driver, turned, words, SwapOperands(contraction), Swapped(parts),
                   rhs, lhs, out, parallel);
  }
  const std::lock_guard<std::mutex> lock(driver.mutex);
  Gemm gemm(driver, plan, contraction, Ordered(parts, contraction, lhs, rhs), lhs, rhs,
            out, parallel);
  for (const NpuRun& run : plan.runs) {
    gemm.Compute(run, words);
    words += run.num_words;
  }
}

}  // namespace jax_npu
