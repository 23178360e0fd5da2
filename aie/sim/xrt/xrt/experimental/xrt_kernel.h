// xrt::runlist: several runs as one command.

#ifndef JAX_NPU_AIE_SIM_XRT_XRT_EXPERIMENTAL_XRT_KERNEL_H_
#define JAX_NPU_AIE_SIM_XRT_XRT_EXPERIMENTAL_XRT_KERNEL_H_

#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <string>

#include "xrt/xrt_hw_context.h"
#include "xrt/xrt_kernel.h"

namespace xrt {

class runlist_impl;

class NPU_SIM_EXPORT runlist {
 public:
  class NPU_SIM_EXPORT command_error : public std::exception {
   public:
    command_error(const xrt::run& run, ert_cmd_state state, const std::string& what);
    xrt::run get_run() const { return run_; }
    ert_cmd_state get_command_state() const { return state_; }
    const char* what() const noexcept override { return what_.c_str(); }

   private:
    xrt::run run_;
    ert_cmd_state state_;
    std::string what_;
  };

  runlist() = default;
  explicit runlist(const hw_context& context);

  // Throws std::runtime_error for a run of another context, for one that is in a list
  // already, and while the list executes.
  void add(const run& run);
  void add(run&& run);
  void execute();
  // Throws command_error with the run that did not complete, if there is one.
  std::cv_status wait(const std::chrono::milliseconds& timeout) const;
  void wait() const { wait(std::chrono::milliseconds{0}); }
  ert_cmd_state state() const;
  void reset();

  explicit operator bool() const { return handle_ != nullptr; }

 private:
  std::shared_ptr<runlist_impl> handle_;
};

}  // namespace xrt

#endif  // JAX_NPU_AIE_SIM_XRT_XRT_EXPERIMENTAL_XRT_KERNEL_H_
