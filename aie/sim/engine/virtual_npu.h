// The virtual NPU: an array of tiles that executes instruction streams.
//
// It takes what the hardware takes, a configuration and a stream of words, and knows
// nothing of any particular design. A mistake that makes silicon hang or compute
// garbage throws a Trap.

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

// An error in one line that names tile, channel, BD or lock, and the stream's word.
class Trap : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The end of a run at the cycle that the caller asked for.
class Stopped : public Trap {
 public:
  using Trap::Trap;
};

// A buffer argument of a run, as it lies in device memory.
struct DeviceBuffer {
  std::byte* data;
  size_t bytes;
};

// What a run does. One that is only timed takes as long as if it computed, but moves no
// data and calls no kernel: its arguments need no memory, and memories of tiles hold
// what the stream itself writes, and zeros.
enum class Effect { kComputes, kOnlyTimed };

class VirtualNpu {
 public:
  // Throws std::invalid_argument if the configuration is not consistent or calls a
  // kernel that nobody registered. `arithmetic` only goes into the report.
  VirtualNpu(Configuration configuration, std::shared_ptr<const KernelTable> kernels,
             const std::string& arithmetic, Effect effect = Effect::kComputes);
  ~VirtualNpu();

  // Gives the design that a stream loads by LOADPDI of that id. It stays loaded until
  // Reset. Throws std::invalid_argument as the constructor does.
  void AddDesign(int pdi, Configuration configuration);

  // Executes a stream of `num_words` words with those buffer arguments, to its end.
  // The array's state outlives a run, as on silicon. After a Trap no run is possible
  // until Reset. A chained run follows another of one list, and begins sooner.
  void Run(const uint32_t* words, size_t num_words,
           const std::vector<DeviceBuffer>& arguments, bool is_chained = false);

  // Lets runs that get so far throw Stopped before the first event after that cycle,
  // which counts as those of messages do. Negative: never.
  void StopAfter(Cycles cycle);

  // Brings the array back to its state after loading. Counters stay.
  void Reset();

  // What every agent does, all locks, task queues and buffers, as JSON; after a Trap as
  // it was then.
  std::string StateJson() const;
  // The bytes of a tile's data memory, which are none for a shim. Throws
  // std::invalid_argument if there is no such tile.
  DeviceBuffer Memory(int column, int row) const;

  // The counters of the last run, a trapped one included, and of all completed runs
  // since construction or ClearReport.
  const Report& last_run() const;
  const Report& total() const;
  void ClearReport();

  // Records from now on what every core, channel and the controller does.
  void StartTrace();
  // The recorded events in Chrome's trace format, which Perfetto opens.
  std::string TraceJson() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_VIRTUAL_NPU_H_
