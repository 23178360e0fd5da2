// A context of the virtual XRT: an array with a design, and one thread that executes
// the context's commands in order.

#ifndef JAX_NPU_AIE_SIM_XRT_CONTEXT_H_
#define JAX_NPU_AIE_SIM_XRT_CONTEXT_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "aie/sim/engine/virtual_npu.h"
#include "aie/sim/xrt/buffer.h"
#include "aie/sim/xrt/faults.h"
#include "aie/sim/xrt/pace.h"
#include "aie/sim/xrt/process.h"
#include "xrt/xrt_hw_context.h"
#include "xrt/xrt_kernel.h"

namespace xrt {

// The arguments of a run when it was started.
struct Invocation {
  uint64_t opcode = 0, num_words = 0;
  std::shared_ptr<bo_impl> instructions;
  std::vector<std::shared_ptr<bo_impl>> data;
  bool is_in_wrong_memory = false;
  jax_npu::sim::Fate fate;
};

// The state of a command.
struct Progress {
  ert_cmd_state state = ERT_CMD_STATE_NEW;
  size_t num_completed = 0;  // runs; after a failure the index of the one that failed
  std::string error;         // why it failed; empty without checks
  bool IsOver() const {
    return state != ERT_CMD_STATE_NEW && state != ERT_CMD_STATE_QUEUED;
  }
};

// One or several runs that are submitted together.
struct Command {
  std::vector<Invocation> runs;
  std::chrono::steady_clock::time_point submitted;
  Progress progress;  // guarded by the context's mutex
};

class hw_context_impl {
 public:
  // The device stays open as long as the context lives.
  hw_context_impl(const jax_npu::sim::Configuration& design,
                  std::shared_ptr<device_impl> device);
  // Executes all submitted commands first.
  ~hw_context_impl();

  const std::shared_ptr<device_impl>& device() const { return device_; }

  // Waits while too many commands are outstanding; with checks that is an error. Throws
  // std::system_error when the context is evicted.
  void Submit(const std::shared_ptr<Command>& command);
  // Waits until the command is over or that time has passed. 0: forever.
  Progress Wait(const Command& command, std::chrono::milliseconds timeout);
  // The command's state now.
  Progress Look(const Command& command);

 private:
  void Work();
  Progress Execute(const Command& command);
  ert_cmd_state Execute(const Invocation& run, bool is_chained, std::string& error);
  ert_cmd_state ExecuteFaultless(const Invocation& run, bool is_chained,
                                 std::string& error);
  // Both throw a Trap where the stream does.
  void Compute(const Invocation& run, bool is_chained);
  // Takes the chip's time, and leaves stand-ins for results.
  void Pretend(const Invocation& run, bool is_chained);
  void DrawFates(Command& command);

  const jax_npu::sim::ContextSlot slot_;
  const std::shared_ptr<device_impl> device_;
  std::shared_ptr<jax_npu::sim::VirtualNpu> array_;  // null if the process is paced
  std::unique_ptr<jax_npu::sim::Pace> pace_;         // null if not
  std::chrono::steady_clock::time_point submitted_;  // the command that executes
  // Used by the worker only. After a hang, only a new context works. A hang that a
  // fault made has no error text, as on silicon.
  bool is_broken_ = false, is_broken_by_fault_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Command>> queue_;
  size_t num_outstanding_ = 0;
  bool is_closing_ = false, is_evicted_ = false;
  std::thread worker_;  // the last member, because it uses the others
};

}  // namespace xrt

#endif  // JAX_NPU_AIE_SIM_XRT_CONTEXT_H_
