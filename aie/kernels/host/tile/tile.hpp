// matmul.cc on a whole tile: each operand is decoded only once, and the zeros of
// padding are skipped.
//
// A mac of zeros changes its accumulator only by flushing it, and every other mac
// flushes its result. So zeros have an effect in the first k-block only, where they
// flush C.
#pragma once

#include "bfp16.hpp"
#include "exact.hpp"
#include "fast.hpp"
#include "sequential.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

// The kind of row i and the kLanes columns from j together.
inline Kind KindOf(const Panel& panel, std::size_t i, std::size_t j) {
  return static_cast<Kind>(panel.a_kinds[i] | panel.b_kinds[j / kLanes]);
}

// Calls visit(i, j) for each row i and every kLanes-th column j of n.
template <typename Visit>
inline void ForLanes(const Panel& panel, std::size_t n, Visit visit) {
  for (std::size_t j = 0; j < n; j += kLanes) {
    for (std::size_t i = 0; i < panel.m; ++i) visit(i, j);
  }
}

// sums = flush(sums) where A or B are zero.
[[gnu::noinline]] inline void FlushWhereZero(const Panel& panel, std::size_t n,
                                             float* sums) {
  ForLanes(panel, n, [=](std::size_t i, std::size_t j) {
    float* sum = sums + i * panel.n + j;
    if (KindOf(panel, i, j) == kZero) Store(sum, Flushed(Load<F32>(sum)));
  });
}

// sums += a b where A or B are not finite, by the reference.
[[gnu::noinline]] inline void AddNotFinite(const Panel& panel, std::size_t n,
                                           float* sums) {
  ForLanes(panel, n, [=](std::size_t i, std::size_t j) {
    if (!(KindOf(panel, i, j) & kNotFinite)) return;
    const std::uint16_t* columns = panel.b + StripOffset<kStrip>(j);
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      float& sum = sums[i * panel.n + j + lane];
      const auto acc = Bits<std::uint32_t>(sum);
      sum = Bits<float>(MacReference(acc, panel.a + i * 8, columns + lane, kStrip));
    }
  });
}

// sums += a b, for n columns. Skips what AddNotFinite adds if `Mac` is for finite
// operands only.
template <typename Mac>
[[gnu::noinline]] void AddPanel(const Panel panel, const Mac mac, std::size_t n,
                                float* sums) {
  const Kind a_kind = KindOfAll(panel.a_kinds, panel.m);
  for (std::size_t j = 0; j < n; j += kLanes) {
    const Kind b_kind = panel.b_kinds[j / kLanes];
    if ((a_kind | b_kind) == kZero) continue;
    for (std::size_t i = 0; i < panel.m; ++i) {
      const unsigned kind = panel.a_kinds[i] | b_kind;
      if (Mac::kIsFinite ? kind == kDense : kind != kZero) {
        mac(i, j, sums + i * panel.n + j);
      }
    }
  }
}

// C += A B with Exact, Sequential or Bfp16. Memory is kept for each thread.
template <unsigned rt, typename Arithmetic>
void RunTile(const AieMatmul& call, const std::uint16_t* a, const std::uint16_t* b,
             void* c) {
  static thread_local struct {
    Gatherer gatherer;
    Arithmetic arithmetic;
    Buffer<float> sums;
  } memory;
  auto& [gatherer, arithmetic, buffer] = memory;
  float* sums = buffer.AtLeast(call.m * Padded(call.n));
  LoadC<rt>(call, c, sums);
  for (std::size_t step = 0; step < call.k / 8; ++step) {
    const Panel panel = gatherer.template Gather<rt>(call, a, b, step);
    if (step == 0) FlushWhereZero(panel, call.n, sums);
    const Kind a_kind = KindOfAll(panel.a_kinds, panel.m);
    const Kind b_kind = KindOfAll(panel.b_kinds, panel.n / kLanes);
    if ((a_kind | b_kind) == kZero) continue;
    AddPanel(panel, arithmetic.Decode(panel), call.n, sums);
    if (Arithmetic::Mac::kIsFinite && ((a_kind | b_kind) & kNotFinite)) {
      AddNotFinite(panel, call.n, sums);
    }
  }
  StoreC<rt>(call, sums, c);
}

// C += A B with Fast.
template <unsigned rt>
void RunFastTile(const AieMatmul& call, const std::uint16_t* a, const std::uint16_t* b,
                 void* c) {
  static thread_local struct {
    Gatherer gatherer;
    Fast fast;
    Buffer<float> sums;
  } memory;
  auto& [gatherer, fast, buffer] = memory;
  const std::size_t m = call.m, n = Padded(call.n), steps = call.k / 8;
  const FastOperands operands = fast.Operands(m, n, steps);
  for (std::size_t step = 0; step < steps; ++step) {
    operands.Decode(gatherer.template Gather<rt>(call, a, b, step), step);
  }
  float* sums = buffer.AtLeast(m * n);
  LoadC<rt>(call, c, sums);
  for (std::size_t j = 0; j < n; j += kFastColumns) {
    for (std::size_t i = 0; i < m; i += kFastRows) {
      operands.Multiply(i, j, sums + i * n + j);
    }
  }
  StoreC<rt>(call, sums, c);
}

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
