// When the chip was at work, by the host's clock: counted always, and recorded run by
// run while a timeline is on.

#ifndef JAX_NPU_AIE_SIM_XRT_DEVICE_TIMES_H_
#define JAX_NPU_AIE_SIM_XRT_DEVICE_TIMES_H_

#include <chrono>
#include <cstdint>

#include "aie/sim/report/report.h"

namespace jax_npu::sim {

// Counts a run. A paced one took as long as the chip's, any other as long as it took to
// simulate.
void CountRun(std::chrono::steady_clock::time_point start,
              std::chrono::steady_clock::time_point end, const Report& report,
              bool is_chained);

// Counts how much later than the chip the paced virtual NPU answered.
void CountLateness(std::chrono::nanoseconds late);

}  // namespace jax_npu::sim

// The interface for Python. Strings are valid until the thread's next call of the same
// function.
#pragma GCC visibility push(default)
extern "C" {
// The time in which a run was on the chip, since the process began.
int64_t jax_npu_sim_device_ns();
// By how much the runs that were paced ended late: the sum, the longest, and how many
// they were, as JSON {"runs": ..., "late_ns": ..., "longest_ns": ...}.
const char* jax_npu_sim_lateness();
// Forgets all recorded runs, and records those that end from now on.
void jax_npu_sim_start_timeline();
// Ends recording. Returns the runs as a JSON list in their order, times by the steady
// clock:
//   {"start_ns", "end_ns", "is_chained", "macs", "read_bytes", "written_bytes"}
const char* jax_npu_sim_stop_timeline();
}
#pragma GCC visibility pop

#endif  // JAX_NPU_AIE_SIM_XRT_DEVICE_TIMES_H_
