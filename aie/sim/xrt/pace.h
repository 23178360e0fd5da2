// The pace of the chip, kept by a virtual XRT that computes nothing: when each run
// would end on the machine whose times the design holds.
//
// The device's part of a run's time is the engine's, which executes each stream once
// without data. The host's part of a launch passes while earlier commands still run,
// and so does the time to find a stream's time for the first time.

#ifndef JAX_NPU_AIE_SIM_XRT_PACE_H_
#define JAX_NPU_AIE_SIM_XRT_PACE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "aie/sim/engine/virtual_npu.h"
#include "aie/sim/program/configuration.h"
#include "aie/sim/report/report.h"

namespace jax_npu::sim {

using TimePoint = std::chrono::steady_clock::time_point;

// What a context's runs take. Used by its worker alone.
class Pace {
 public:
  explicit Pace(const Configuration& design);

  // A run on the chip.
  struct Run {
    TimePoint start, end;
    const Report& report;
  };

  // Takes the chip for a run that was submitted at that time, after all runs that have
  // it already. `sizes` are its arguments' bytes. Throws a Trap as the engine does.
  Run Take(const uint32_t* words, size_t num_words, const std::vector<size_t>& sizes,
           bool is_chained, TimePoint submitted);

 private:
  // The report of a run, without what single agents did, and whether it was found just
  // now, which takes longer than the run.
  std::pair<const Report&, bool> ReportOf(const uint32_t* words, size_t num_words,
                                          const std::vector<size_t>& sizes,
                                          bool is_chained);

  VirtualNpu array_;
  // By the words of the stream, the sizes and whether the run is chained, as bytes.
  std::unordered_map<std::string, Report> reports_;
};

// Returns at that time, or a few microseconds later. Counts how late it is.
void SleepUntil(TimePoint end);

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_XRT_PACE_H_
