#include "xla_ffi/npu/verify/sentinel.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace jax_npu {
namespace {
#include "xla_ffi/base/bf16.inc"

constexpr uint32_t kSentinel = 0xFFA5C3E1u;
constexpr int64_t kPieceSize = 1 << 18;  // elements that a thread fills or looks at

// Calls f(first, end) for pieces of [0, size).
template <typename Function>
void ForPieces(int64_t size, const ParallelLoop& parallel, const Function& f) {
  parallel((size + kPieceSize - 1) / kPieceSize, [&](int64_t piece) {
    f(piece * kPieceSize, std::min(size, (piece + 1) * kPieceSize));
  });
}

}  // namespace

void FillSentinel(float* c, int64_t size, const ParallelLoop& parallel) {
  ForPieces(size, parallel, [&](int64_t first, int64_t end) {
    std::fill(c + first, c + end, FromBits(kSentinel));
  });
}

std::string FindUnwritten(const float* c, int64_t size, const ParallelLoop& parallel) {
  std::atomic<int64_t> count{0};
  ForPieces(size, parallel, [&](int64_t first, int64_t end) {
    int64_t in_piece = 0;
    for (int64_t i = first; i < end; ++i) in_piece += Bits(c[i]) == kSentinel;
    count += in_piece;
  });
  if (count == 0) return "";
  return std::to_string(count) + " of " + std::to_string(size) +
         " elements were never written";
}

}  // namespace jax_npu
