// An agent of the array: a core, a DMA channel or the controller.
//
// An agent does one thing at a time. It then has the scheduler wake it later, or waits
// until another agent does.

#ifndef JAX_NPU_AIE_SIM_ENGINE_AGENT_H_
#define JAX_NPU_AIE_SIM_ENGINE_AGENT_H_

#include <string>
#include <utility>
#include <vector>

#include "aie/sim/report/cycles.h"
#include "aie/sim/report/report.h"

namespace jax_npu::sim {

struct Array;
struct Lock;

// Why an agent does nothing.
enum class Wait {
  kNothing,   // it does something, or an event will soon wake it
  kTask,      // no task is queued
  kLock,      // until `lock` holds at least `lock_value`
  kStream,    // the other ends of its route are not ready
  kToken,     // the controller, for tokens
  kLatency,   // the next step takes a while to begin
  kFinished,  // a core at the end of its program
};

struct Agent {
  explicit Agent(Array& array) : array(array) {}
  virtual ~Agent() = default;
  // Its kind and tile: "core (0, 2)".
  virtual std::string Name() const = 0;
  // Continues after a lock was granted.
  virtual void Granted() = 0;

  // Begins to wait; `cause` names the stall in the report and outlives the agent.
  void StartWait(Wait wait, const char* cause);
  // Begins to work; `what` names the work in the trace and outlives the agent.
  void StartWork(const char* what);
  // Counts and traces what the agent did until now.
  void Stop();
  // Returns what was counted since the last call.
  Usage TakeUsage();

  Array& array;
  Wait waiting = Wait::kNothing;
  const char* doing = nullptr;  // the work, or the cause of the wait
  Cycles doing_since = 0;
  Lock* lock = nullptr;  // the one that it waits for
  int lock_value = 0;
  Usage usage;                                         // without its stalls
  std::vector<std::pair<const char*, Cycles>> stalls;  // cycles by cause
  int track = 0;                                       // in the trace
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_AGENT_H_
