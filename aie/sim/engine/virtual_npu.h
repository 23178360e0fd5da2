// The virtual NPU: an array of tiles that executes instruction streams.
//
// It takes what the hardware takes, a configuration and a stream of words, and knows
// nothing of any particular design. What silicon would answer with a hang or garbage
// throws a Trap.

#ifndef JAX_NPU_AIE_SIM_ENGINE_VIRTUAL_NPU_H_
#define JAX_NPU_AIE_SIM_ENGINE_VIRTUAL_NPU_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "aie/sim/program/configuration.h"
#include "aie/sim/program/kernel_table.h"
#include "aie/sim/report/report.h"

namespace jax_npu::sim {

// One line: what happened, with tile, channel, BD, lock and word offset.
class Trap : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A buffer argument of a run, as it lies in device memory.
struct DeviceBuffer {
  std::byte* data;
  size_t bytes;
};

class VirtualNpu {
 public:
  // Throws std::invalid_argument if the configuration is not consistent or calls a
  // kernel that nobody registered.
  // `arithmetic` is what the report says of the kernels.
  VirtualNpu(Configuration configuration, std::shared_ptr<const KernelTable> kernels,
             const std::string& arithmetic);
  ~VirtualNpu();

  // Executes a stream of `num_words` words with those buffer arguments, to its end.
  // State of the array outlives a run, as on silicon. After a Trap only Reset helps.
  void Run(const uint32_t* words, size_t num_words,
           const std::vector<DeviceBuffer>& arguments);

  // Brings the array back to what it was after loading. Counters stay.
  void Reset();

  // Of the last run, and of all runs since the construction or ClearReport.
  const Report& last_run() const;
  const Report& total() const;
  void ClearReport();

  // From now on, what every core, channel and the controller does is recorded.
  void StartTrace();
  // The recorded events in Chrome's trace format, which Perfetto opens.
  std::string TraceJson() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_VIRTUAL_NPU_H_
