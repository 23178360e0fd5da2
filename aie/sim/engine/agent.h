// An agent of the array: a core, a DMA channel or the controller.
//
// An agent does one thing at a time. It then has the scheduler wake it later, or waits
// until another agent does.

#ifndef JAX_NPU_AIE_SIM_ENGINE_AGENT_H_
#define JAX_NPU_AIE_SIM_ENGINE_AGENT_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "aie/sim/report/cycles.h"
#include "aie/sim/report/report.h"
#include "aie/sim/report/trace.h"

namespace jax_npu::sim {

struct Array;
struct Lock;

// What an agent needs of a lock. Greater-or-equal takes `value` from it. Equality takes
// nothing: AMD's AI Engine-ML Intrinsics User Guide (UG1583) says of acquire_equal that
// it "doesn't modify the value in the state of lock". That a DMA's acquire by equality
// does not either is our choice: AM025 has no other sentence on it, and both go to the
// same unit.
struct LockDemand {
  int value = 0;
  bool equal = false;

  bool IsMet(int held) const { return equal ? held == value : held >= value; }
  int taken() const { return equal ? 0 : value; }
};

// The demand that a configuration writes as one number.
inline LockDemand DemandOf(int64_t written) {
  return written < 0 ? LockDemand{static_cast<int>(-1 - written), true}
                     : LockDemand{static_cast<int>(written), false};
}

// Why an agent does nothing.
enum class Wait {
  kNothing,   // it does something, or an event will soon wake it
  kTask,      // no task is queued
  kLock,      // until `lock` meets `lock_demand`
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
  LockDemand lock_demand;
  Usage usage;                                         // without its stalls
  std::vector<std::pair<const char*, Cycles>> stalls;  // cycles by cause
  int track = 0;                                       // in the trace
  Trace::Details details;  // of what it does now, for the trace; set after it begins
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_AGENT_H_
