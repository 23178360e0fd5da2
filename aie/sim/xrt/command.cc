// xrt::kernel, xrt::run and xrt::runlist: how arguments become a command.

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "aie/sim/xrt/context.h"
#include "aie/sim/xrt/faults.h"
#include "xrt/experimental/xrt_kernel.h"
#include "xrt/xrt_kernel.h"

namespace xrt {

class kernel_impl {
 public:
  kernel_impl(std::shared_ptr<hw_context_impl> context, std::string name)
      : context(std::move(context)), name(std::move(name)) {}
  const std::shared_ptr<hw_context_impl> context;
  const std::string name;
};

class run_impl {
 public:
  explicit run_impl(std::shared_ptr<kernel_impl> kernel) : kernel(std::move(kernel)) {}

  // With checks, throws command_error for arguments with which the device would compute
  // garbage.
  // Adds to the buffers of the command that were found to be synced.
  Invocation Arguments(std::set<const bo_impl*>& synced) const;
  Progress Wait(std::chrono::milliseconds timeout) const;

  const std::shared_ptr<kernel_impl> kernel;
  std::map<int, uint64_t> scalars;
  std::map<int, std::shared_ptr<bo_impl>> buffers;
  std::shared_ptr<Command> command;  // the last one that was started
  bool is_in_list = false;
};

class runlist_impl {
 public:
  explicit runlist_impl(std::shared_ptr<hw_context_impl> context)
      : context(std::move(context)) {}

  bool IsExecuting() const {
    return command != nullptr && !context->Look(*command).IsOver();
  }

  const std::shared_ptr<hw_context_impl> context;
  std::vector<run> runs;
  std::shared_ptr<Command> command;
};

namespace {

using jax_npu::sim::ChecksAreOn;

constexpr int kOpcode = 0, kInstructions = 1, kNumWords = 2, kFirstData = 3;
constexpr int kNumArguments = 8;
constexpr size_t kMaxRunsOfList = 24;
// Numbers that nobody guesses, so that a driver has to call group_id. mlir-aie's
// xclbins connect all data buffers to one memory.
constexpr memory_group kInstructionMemory = 0x10001, kDataMemory = 0x20003;

memory_group MemoryOf(int argument) {
  return argument == kInstructions ? kInstructionMemory : kDataMemory;
}

std::string NameOf(int argument) {
  const std::string number = "argument " + std::to_string(argument);
  return argument == kInstructions
             ? number + " (the instructions)"
             : number + " (data buffer " + std::to_string(argument - kFirstData) + ")";
}

std::string Describe(const Progress& end) {
  return end.error.empty() ? "the run ended with state " + std::to_string(end.state)
                           : end.error;
}

bool IsInWrongMemory(int argument, const bo_impl& buffer) {
  const bo::flags wanted =
      argument == kInstructions ? bo::flags::cacheable : bo::flags::host_only;
  return buffer.group() != MemoryOf(argument) || buffer.flags() != wanted;
}

// `synced`: buffers of the same command that were found unchanged.
void Check(int argument, const bo_impl& buffer, std::set<const bo_impl*>& synced) {
  if (IsInWrongMemory(argument, buffer)) {
    throw run::command_error(
        ERT_CMD_STATE_ERROR,
        NameOf(argument) + " lies in memory group " + std::to_string(buffer.group()) +
            ", it needs group_id(" + std::to_string(argument) +
            ") = " + std::to_string(MemoryOf(argument)) +
            (argument == kInstructions ? " and be cacheable" : " and be host_only"));
  }
  if (synced.insert(&buffer).second && buffer.HostIsAhead()) {
    throw run::command_error(ERT_CMD_STATE_ERROR,
                             NameOf(argument) +
                                 " was changed since its last sync to the device, "
                                 "which would compute with old data; sync it");
  }
}

}  // namespace

kernel::kernel(const hw_context& context, const std::string& name) {
  if (name != "MLIR_AIE") throw std::runtime_error("No such kernel '" + name + "'");
  handle_ = std::make_shared<kernel_impl>(context.get_handle(), name);
}

int kernel::group_id(int argument) const {
  if (argument != kInstructions &&
      (argument < kFirstData || argument >= kNumArguments)) {
    throw std::out_of_range("argument " + std::to_string(argument) +
                            " of the kernel is not a buffer");
  }
  return static_cast<int>(MemoryOf(argument));
}

std::string kernel::get_name() const { return handle_->name; }

run::command_error::command_error(ert_cmd_state state, const std::string& what)
    : state_(state), what_(what) {}

run::run(const kernel& kernel)
    : handle_(std::make_shared<run_impl>(kernel.get_handle())) {}

void run::set_arg_at_index(int index, const void* value, size_t num_bytes) {
  if ((index != kOpcode && index != kNumWords) || num_bytes > sizeof(uint64_t)) {
    throw std::invalid_argument("argument " + std::to_string(index) +
                                " of the kernel is not a number of " +
                                std::to_string(num_bytes) + " bytes");
  }
  uint64_t number = 0;
  std::memcpy(&number, value, num_bytes);
  handle_->scalars[index] = number;
}

void run::set_arg_at_index(int index, const bo& buffer) {
  if (index != kInstructions && (index < kFirstData || index >= kNumArguments)) {
    throw std::invalid_argument("argument " + std::to_string(index) +
                                " of the kernel is not a buffer");
  }
  handle_->buffers[index] = buffer.get_handle();
}

Invocation run_impl::Arguments(std::set<const bo_impl*>& synced) const {
  Invocation run;
  if (scalars.size() != 2 || buffers.count(kInstructions) == 0) {
    throw std::runtime_error(
        "a run needs the arguments 0 to 2: opcode, instructions and their number");
  }
  run.opcode = scalars.at(kOpcode);
  run.num_words = scalars.at(kNumWords);
  const bool checks = ChecksAreOn();
  for (const auto& [argument, buffer] : buffers) {
    if (checks) Check(argument, *buffer, synced);
    run.is_in_wrong_memory |= IsInWrongMemory(argument, *buffer);
    if (argument == kInstructions) {
      run.instructions = buffer;
      continue;
    }
    if (argument != kFirstData + static_cast<int>(run.data.size())) {
      throw std::runtime_error("a run needs the data buffers from argument 3 on");
    }
    run.data.push_back(buffer);
  }
  if (run.num_words > run.instructions->size() / sizeof(uint32_t)) {
    throw std::runtime_error(
        "argument 2 counts more instruction words than the buffer holds");
  }
  return run;
}

Progress run_impl::Wait(std::chrono::milliseconds timeout) const {
  if (!command) throw std::runtime_error("the run was never started");
  jax_npu::sim::CountCall("WAIT_CMD");
  return kernel->context->Wait(*command, timeout);
}

void run::start() {
  if (state() == ERT_CMD_STATE_QUEUED) {
    throw std::runtime_error("the run is still executing and cannot be started");
  }
  jax_npu::sim::CountCall("EXEC_CMD");
  auto command = std::make_shared<Command>();
  std::set<const bo_impl*> synced;
  command->runs.push_back(handle_->Arguments(synced));
  handle_->kernel->context->Submit(command);
  handle_->command = std::move(command);
}

ert_cmd_state run::wait(const std::chrono::milliseconds& timeout) const {
  const Progress progress = handle_->Wait(timeout);
  if (!progress.error.empty()) throw command_error(progress.state, progress.error);
  return progress.IsOver() ? progress.state : ERT_CMD_STATE_TIMEOUT;
}

std::cv_status run::wait2(const std::chrono::milliseconds& timeout) const {
  const Progress progress = handle_->Wait(timeout);
  if (progress.state == ERT_CMD_STATE_COMPLETED) return std::cv_status::no_timeout;
  if (!progress.IsOver()) return std::cv_status::timeout;
  throw command_error(progress.state, Describe(progress));
}

ert_cmd_state run::state() const {
  if (!handle_->command) return ERT_CMD_STATE_NEW;
  return handle_->kernel->context->Look(*handle_->command).state;
}

runlist::command_error::command_error(const xrt::run& run, ert_cmd_state state,
                                      const std::string& what)
    : run_(run), state_(state), what_(what) {}

runlist::runlist(const hw_context& context)
    : handle_(std::make_shared<runlist_impl>(context.get_handle())) {}

void runlist::add(const run& run) {
  if (handle_->IsExecuting()) throw std::runtime_error("the list is executing");
  if (run.get_handle()->is_in_list) {
    throw std::runtime_error("the run is in a list already");
  }
  if (run.get_handle()->kernel->context != handle_->context) {
    throw std::runtime_error("the run's kernel is of another context than the list");
  }
  run.get_handle()->is_in_list = true;
  handle_->runs.push_back(run);
}

void runlist::add(run&& run) { add(static_cast<const xrt::run&>(run)); }

void runlist::execute() {
  if (handle_->IsExecuting()) throw std::runtime_error("the list is executing");
  if (handle_->runs.empty()) return;
  if (ChecksAreOn() && handle_->runs.size() > kMaxRunsOfList) {
    throw std::runtime_error("a list takes 24 runs, this one has " +
                             std::to_string(handle_->runs.size()) + "; use several");
  }
  jax_npu::sim::CountCall("EXEC_CMD");
  auto command = std::make_shared<Command>();
  std::set<const bo_impl*> synced;  // compared once, however many runs read them
  for (const run& run : handle_->runs) {
    command->runs.push_back(run.get_handle()->Arguments(synced));
  }
  handle_->context->Submit(command);
  handle_->command = std::move(command);
}

std::cv_status runlist::wait(const std::chrono::milliseconds& timeout) const {
  if (!handle_->command) return std::cv_status::no_timeout;
  jax_npu::sim::CountCall("WAIT_CMD");
  const Progress progress = handle_->context->Wait(*handle_->command, timeout);
  if (progress.state == ERT_CMD_STATE_COMPLETED) return std::cv_status::no_timeout;
  if (!progress.IsOver()) return std::cv_status::timeout;
  throw command_error(handle_->runs[progress.num_completed], progress.state,
                      Describe(progress));
}

ert_cmd_state runlist::state() const {
  if (!handle_->command) return ERT_CMD_STATE_COMPLETED;
  return handle_->context->Look(*handle_->command).state;
}

void runlist::reset() {
  if (handle_->IsExecuting()) throw std::runtime_error("the list is executing");
  for (const run& run : handle_->runs) run.get_handle()->is_in_list = false;
  handle_->runs.clear();
  handle_->command = nullptr;
}

}  // namespace xrt
