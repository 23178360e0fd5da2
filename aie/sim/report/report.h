// The counters of a run on the virtual NPU, or of all runs: fields, and JSON of them.

#ifndef JAX_NPU_AIE_SIM_REPORT_REPORT_H_
#define JAX_NPU_AIE_SIM_REPORT_REPORT_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "aie/sim/report/cycles.h"

namespace jax_npu::sim {

// What one core, DMA channel, DDR direction or the controller did.
struct Usage {
  Cycles busy = 0;                       // executing or moving words
  std::map<std::string, Cycles> stalls;  // by cause: all other cycles of the run
  int64_t bytes = 0, macs = 0;

  void Add(const Usage& other);
};

// What shims moved to and from one buffer argument of a run.
struct ArgumentUse {
  int64_t read = 0, written = 0;  // bytes
  double runs = 0;                // of consecutive bytes
};

struct Report {
  std::string device, arithmetic;
  double clock_hz = 0;
  int64_t runs = 0;
  Cycles cycles = 0;              // on the device: launch, controller and array
  Cycles controller_cycles = 0;   // the part in which the controller executed
  double submission_seconds = 0;  // on the host
  int64_t macs = 0, kernel_calls = 0, instruction_words = 0;
  // Bytes that the DMA moved at each level: ddr_read, ddr_write, l2_read, l2_write,
  // l1_read and l1_write; and "stream", where a byte counts once for each link that it
  // crossed.
  std::map<std::string, int64_t> bytes;
  std::map<std::string, Usage> usage;  // "core (0, 2)", "shim (0, 0) MM2S 0", ...
  std::map<int, ArgumentUse> arguments;
  std::set<int> written_arguments;   // of the last run
  std::vector<std::string> notices;  // what silicon lets pass, in the last run

  double device_seconds() const { return clock_hz > 0 ? cycles / clock_hz : 0; }
  // Device and submission.
  double seconds() const { return device_seconds() + submission_seconds; }
  void Add(const Report& run);
  std::string Json() const;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_REPORT_REPORT_H_
