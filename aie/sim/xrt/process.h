// What the contexts of a process share: the chip, the checks, the report, the trace.

#ifndef JAX_NPU_AIE_SIM_XRT_PROCESS_H_
#define JAX_NPU_AIE_SIM_XRT_PROCESS_H_

#include <memory>
#include <mutex>

#include "aie/sim/engine/virtual_npu.h"
#include "aie/sim/program/configuration.h"
#include "aie/sim/program/kernel_table.h"
#include "aie/sim/report/report.h"

namespace jax_npu::sim {

// With checks, what silicon answers with garbage or a hang is an error that says what
// went wrong. On unless $JAX_NPU_SIM_CHECKS is off or jax_npu_sim_set_checks(0) says
// so.
bool ChecksAreOn();

// $JAX_NPU_SIM_ARITHMETIC, or exact.
KernelOptions KernelOptionsOfProcess();

// Held while the array runs or is looked at: it serves one context at a time.
std::mutex& ArrayMutex();

// With the mutex held: adds a run to the process's report.
void AddToReport(const Report& run);

// With the mutex held: the array of a new context takes part in the trace.
void AddToTrace(const std::shared_ptr<VirtualNpu>& array);

// A place among the contexts that a device has.
class ContextSlot {
 public:
  // Throws std::runtime_error where none is left.
  explicit ContextSlot(const Configuration& design);
  ~ContextSlot();
  ContextSlot(const ContextSlot&) = delete;
  ContextSlot& operator=(const ContextSlot&) = delete;

  // More contexts in one process than work.
  bool is_one_too_many() const { return is_one_too_many_; }

 private:
  bool is_one_too_many_;
};

}  // namespace jax_npu::sim

// For Python. Strings are valid until the thread's next call of the same function.
#pragma GCC visibility push(default)
extern "C" {
// What the virtual NPU did in this process since the last clear, as JSON: see report.h.
const char* jax_npu_sim_report();
void jax_npu_sim_clear_report();
// From now on what the array does is recorded; with $JAX_NPU_SIM_TRACE naming a file it
// is from the beginning, and written there when the process ends.
void jax_npu_sim_start_trace();
// The latest context's trace in Chrome's format, or null if none was started.
const char* jax_npu_sim_trace();
void jax_npu_sim_set_checks(int on);
// How many of the device's contexts other processes hold: none, unless a test says so.
void jax_npu_sim_set_other_contexts(int count);
}
#pragma GCC visibility pop

#endif  // JAX_NPU_AIE_SIM_XRT_PROCESS_H_
