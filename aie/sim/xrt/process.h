// The state that all contexts of a process share: the chip, the checks, the report and
// the trace.

#ifndef JAX_NPU_AIE_SIM_XRT_PROCESS_H_
#define JAX_NPU_AIE_SIM_XRT_PROCESS_H_

#include <memory>
#include <mutex>

#include "aie/sim/engine/virtual_npu.h"
#include "aie/sim/program/configuration.h"
#include "aie/sim/program/kernel_table.h"
#include "aie/sim/report/report.h"

namespace jax_npu::sim {

// Whether misuse that makes silicon compute garbage or hang is an error that explains
// it. $JAX_NPU_SIM_CHECKS=off and jax_npu_sim_set_checks(0) turn the checks off.
bool ChecksAreOn();

// Whether runs take the chip's time and compute nothing: $JAX_NPU_SIM_PACED. It stays
// so for the process.
bool IsPaced();

// The arithmetic of $JAX_NPU_SIM_ARITHMETIC, or exact.
KernelOptions KernelOptionsOfProcess();

// The mutex to hold while an array runs or is read: the chip serves one context at a
// time.
std::mutex& ArrayMutex();

// Adds a run to the process's report. The mutex must be held.
void AddToReport(const Report& run);

// Lets the array of a new context take part in the trace. The mutex must be held.
void AddToTrace(const std::shared_ptr<VirtualNpu>& array);

// Waits while the device is held.
void WaitWhileHeld();

// One of the contexts that a device has.
class ContextSlot {
 public:
  // Throws std::runtime_error if none is left.
  explicit ContextSlot(const Configuration& design);
  ~ContextSlot();
  ContextSlot(const ContextSlot&) = delete;
  ContextSlot& operator=(const ContextSlot&) = delete;

  // Whether the process had as many contexts already as work at the same time.
  bool is_one_too_many() const { return is_one_too_many_; }

 private:
  bool is_one_too_many_;
};

}  // namespace jax_npu::sim

// The interface for Python. Strings are valid until the thread's next call of the same
// function.
#pragma GCC visibility push(default)
extern "C" {
// The report of all runs in this process since the last clear, as JSON: see
// aie/sim/report/report.h.
const char* jax_npu_sim_report();
void jax_npu_sim_clear_report();
// Records from now on what the array does. If $JAX_NPU_SIM_TRACE names a file, that is
// done from the beginning, and the trace is written there when the process ends.
void jax_npu_sim_start_trace();
// The latest context's trace in Chrome's format, or null if none was started.
const char* jax_npu_sim_trace();
void jax_npu_sim_set_checks(int on);
// Sets how many of the device's contexts other processes hold, for tests; 0 at first.
void jax_npu_sim_set_other_contexts(int count);
// Holds the device, for tests, or lets it go on: meanwhile no command begins.
void jax_npu_sim_hold(int on);
}
#pragma GCC visibility pop

#endif  // JAX_NPU_AIE_SIM_XRT_PROCESS_H_
