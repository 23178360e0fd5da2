// The time that transfers between shims and DDR take.
//
// A shim begins each run of consecutive bytes in a fixed time, all its channels of a
// direction together, and lines that a run covers in part take longer. DDR moves whole
// lines, one after the other, for all shims.

#ifndef JAX_NPU_AIE_SIM_ENGINE_DMA_DDR_H_
#define JAX_NPU_AIE_SIM_ENGINE_DMA_DDR_H_

#include <cstdint>
#include <vector>

#include "aie/sim/program/hardware_limits.h"
#include "aie/sim/program/pattern.h"
#include "aie/sim/report/cycles.h"

namespace jax_npu::sim {

class Ddr {
 public:
  Ddr(const Times& times, int num_columns);

  // The time at which `num_words` of a pattern have been moved for a shim, after all
  // earlier requests.
  Cycles Done(Cycles now, int column, int direction, const Pattern& pattern,
              int64_t num_words);
  void BeginRun();
  void Reset(Cycles now);
  // When DDR moved the lines of the last request.
  Cycles last_begin() const { return last_begin_; }
  Cycles last_end() const { return last_end_; }
  // Cycles in which DDR moved lines; directions that share it count as the first.
  Cycles busy(int direction) const { return busy_[direction]; }

 private:
  const Times& times_;
  Cycles free_[2] = {0, 0};  // when all requests so far are served, by direction
  Cycles busy_[2] = {0, 0};
  Cycles last_begin_ = 0, last_end_ = 0;
  std::vector<Cycles> port_free_;  // the same of each shim, [column][direction]
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_DMA_DDR_H_
