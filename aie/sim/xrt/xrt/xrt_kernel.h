// xrt::kernel and xrt::run: an instruction stream with its buffers, as a command.
//
// Argument 0 is the opcode, always 3; 1 the instructions; 2 their number of words; from
// 3 on, the data buffers.

#ifndef JAX_NPU_AIE_SIM_XRT_XRT_XRT_KERNEL_H_
#define JAX_NPU_AIE_SIM_XRT_XRT_XRT_KERNEL_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "xrt/detail/ert.h"
#include "xrt/xrt_bo.h"
#include "xrt/xrt_hw_context.h"

namespace xrt {

class kernel;
class run_impl;

class NPU_SIM_EXPORT run {
 public:
  class NPU_SIM_EXPORT command_error : public std::exception {
   public:
    command_error(ert_cmd_state state, const std::string& what);
    ert_cmd_state get_command_state() const { return state_; }
    const char* what() const noexcept override { return what_.c_str(); }

   private:
    ert_cmd_state state_;
    std::string what_;
  };

  run() = default;
  explicit run(const kernel& kernel);

  // A number is taken as it is, a buffer by reference.
  template <typename Arg>
  void set_arg(int index, Arg&& arg) {
    if constexpr (std::is_same_v<std::decay_t<Arg>, bo>) {
      set_arg_at_index(index, static_cast<const bo&>(arg));
    } else {
      set_arg_at_index(index, &arg, sizeof(arg));
    }
  }

  template <typename... Args>
  void operator()(Args&&... args) {
    int index = 0;
    (set_arg(index++, std::forward<Args>(args)), ...);
    start();
  }

  void start();
  // Returns the run's final state, or ERT_CMD_STATE_TIMEOUT after that time; 0:
  // forever. With checks, throws command_error if the virtual NPU knows what went
  // wrong.
  ert_cmd_state wait(
      const std::chrono::milliseconds& timeout = std::chrono::milliseconds{0}) const;
  ert_cmd_state wait(unsigned int timeout_ms) const {
    return wait(std::chrono::milliseconds{timeout_ms});
  }
  // Throws command_error if the run fails within that time.
  std::cv_status wait2(const std::chrono::milliseconds& timeout) const;
  void wait2() const { wait2(std::chrono::milliseconds{0}); }
  ert_cmd_state state() const;

  explicit operator bool() const { return handle_ != nullptr; }
  const std::shared_ptr<run_impl>& get_handle() const { return handle_; }

 private:
  void set_arg_at_index(int index, const void* value, size_t num_bytes);
  void set_arg_at_index(int index, const bo& buffer);

  std::shared_ptr<run_impl> handle_;
};

class kernel_impl;

class NPU_SIM_EXPORT kernel {
 public:
  kernel() = default;
  // Throws std::runtime_error if the design has no kernel of that name.
  kernel(const hw_context& context, const std::string& name);

  template <typename... Args>
  run operator()(Args&&... args) {
    run started(*this);
    started(std::forward<Args>(args)...);
    return started;
  }

  // The memory group in which an argument's buffer must lie.
  int group_id(int argument) const;
  std::string get_name() const;

  explicit operator bool() const { return handle_ != nullptr; }
  const std::shared_ptr<kernel_impl>& get_handle() const { return handle_; }

 private:
  std::shared_ptr<kernel_impl> handle_;
};

}  // namespace xrt

#endif  // JAX_NPU_AIE_SIM_XRT_XRT_XRT_KERNEL_H_
