// A context on the device, with the buffers and instruction streams that live in it.

#ifndef JAX_NPU_XLA_FFI_DRIVER_SESSION_H_
#define JAX_NPU_XLA_FFI_DRIVER_SESSION_H_

#include <xrt/experimental/xrt_kernel.h>
#include <xrt/xrt_bo.h>
#include <xrt/xrt_device.h>
#include <xrt/xrt_hw_context.h>
#include <xrt/xrt_kernel.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "xla_ffi/driver/driver.h"
#include "xla_ffi/driver/idle_buffers.h"
#include "xla_ffi/driver/loaded_streams.h"
#include "xla_ffi/driver/pinned_buffer.h"

namespace jax_npu {

// The kernel that mlir-aie puts into every xclbin: (opcode, instructions, number of
// instruction words, data buffers ...).
constexpr unsigned kRunInstructions = 3;  // the opcode
constexpr int kInstructionArgument = 1, kFirstDataArgument = 3;

// Runs that were submitted together, and what must live until they end.
struct Command {
  std::list<xrt::run> runs;
  std::vector<xrt::bo> streams, buffers;
  xrt::runlist list;  // used if there are several runs
};

// A context and all that lives in it. After a failure the driver opens another session.
class Session {
 public:
  Session(const xrt::device& device, const xrt::uuid& design, const std::string& kernel)
      : device_(device), context_(device, design), kernel_(context_, kernel) {}

  // Expires when the context is closed.
  std::weak_ptr<const bool> open() const { return open_; }

  // The memory in which an argument's buffer must lie. A design usually has one for
  // all of them, so that a buffer of one argument serves another.
  int MemoryOf(int argument) const {
    return kernel_.group_id(kFirstDataArgument + argument);
  }

  // A buffer that is idle, or a new one.
  PinnedBuffer Take(int memory, size_t num_bytes) {
    if (auto idle = idle_.Take(memory, num_bytes)) return *std::move(idle);
    const auto make = [&] {
      return PinnedBuffer(
          xrt::bo(device_, RoundUpSize(num_bytes), xrt::bo::flags::host_only, memory));
    };
    try {
      return make();
    } catch (const std::exception&) {
      idle_.Drop(0);  // idle buffers may hold the memory that is missing
      return make();
    }
  }

  void GiveBack(int memory, PinnedBuffer buffer) {
    idle_.GiveBack(memory, std::move(buffer));
  }

  std::shared_ptr<Command> Start(
      const std::vector<Invocation>& runs,
      const std::function<const xrt::bo&(NpuBuffer&, int)>& bo_of) {
    auto command = std::make_shared<Command>();
    for (const Invocation& run : runs) {
      xrt::run& started = command->runs.emplace_back(kernel_);
      const xrt::bo& stream =
          command->streams.emplace_back(Stream(run.words, run.num_words));
      started.set_arg(0, kRunInstructions);
      started.set_arg(kInstructionArgument, stream);
      started.set_arg(2, static_cast<uint32_t>(run.num_words));
      int index = 0;
      for (const auto& argument : run.arguments) {
        const xrt::bo& buffer = command->buffers.emplace_back(bo_of(*argument, index));
        started.set_arg(kFirstDataArgument + index, buffer);
        ++index;
      }
    }
    if (command->runs.size() == 1) {
      command->runs.front().start();
    } else {
      command->list = xrt::runlist(context_);
      for (const xrt::run& run : command->runs) command->list.add(run);
      command->list.execute();
    }
    return command;
  }

 private:
  // The buffer that holds a stream of instructions on the device.
  const xrt::bo& Stream(const uint32_t* words, size_t num_words) {
    const auto load = [&](const uint32_t* from, size_t num_bytes) {
      xrt::bo bo(device_, num_bytes, xrt::bo::flags::cacheable,
                 kernel_.group_id(kInstructionArgument));
      std::memcpy(bo.map(), from, num_bytes);
      bo.sync(XCL_BO_SYNC_BO_TO_DEVICE);
      return PinnedBuffer(std::move(bo));
    };
    return streams_.Find(words, num_words, load).bo();
  }

  // The first member, so that it is destroyed after the context.
  const std::shared_ptr<const bool> open_ = std::make_shared<const bool>(true);
  xrt::device device_;
  xrt::hw_context context_;
  xrt::kernel kernel_;
  IdleBuffers<PinnedBuffer> idle_;
  LoadedStreams<PinnedBuffer> streams_;
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_DRIVER_SESSION_H_
