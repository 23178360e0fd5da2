// AIE2P's exact mac: c = flush(fma(a_k, b_k, c)) for each k in order.
#pragma once

#include "layout.hpp"

namespace aie {
inline namespace AIE_HOST_ISA {
namespace host {

class Sequential {
 public:
  // c += a b, for row i of A and kLanes columns of B from j.
  struct Mac {
    static constexpr bool kIsFinite = false;
    const float *a, *b;  // [m][8] and (8, n) in strips

    void operator()(std::size_t i, std::size_t j, float* c) const {
      const float *row = a + i * 8, *columns = b + StripOffset<kStrip>(j);
      F32 sum = Load<F32>(c);
#pragma GCC unroll 8
      for (unsigned k = 0; k < 8; ++k) {
        const auto y = Load<F32>(columns + k * kStrip);
        sum = Flushed(Fused(Splat<F32>(row[k]), y, sum));
      }
      Store(c, sum);
    }
  };

  Mac Decode(const Panel& panel) {
    const std::size_t m = panel.m, n = panel.n;
    float *a = a_.AtLeast(m * 8), *b = b_.AtLeast(8 * n);
    for (std::size_t i = 0; i < m * 8; i += kLanes) Store(a + i, ToF32(panel.a + i));
    for (std::size_t i = 0; i < 8 * n; i += kLanes) Store(b + i, ToF32(panel.b + i));
    return {a, b};
  }

 private:
  Buffer<float> a_, b_;
};

}  // namespace host
}  // namespace AIE_HOST_ISA
}  // namespace aie
