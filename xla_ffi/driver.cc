// The driver on XRT 2.25's C++ API: the only file that knows XRT.

#include "driver.h"

#include <xrt/experimental/xrt_xclbin.h>
#include <xrt/xrt_bo.h>
#include <xrt/xrt_device.h>
#include <xrt/xrt_hw_context.h>
#include <xrt/xrt_kernel.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace jax_npu {
namespace {

// The kernel that mlir-aie puts into every xclbin: (opcode, instructions, number of
// instruction words, data buffers ...).
constexpr const char* kKernelName = "MLIR_AIE";
constexpr unsigned kRunInstructions = 3;  // an opcode
constexpr int kInstructionArgument = 1, kFirstDataArgument = 3;
constexpr int kMaxArguments = 5;

// Of buffers that no argument uses, and of streams, kept for the next run.
constexpr size_t kMaxIdleBytes = size_t{64} << 20;
constexpr size_t kMaxStreamBytes = size_t{32} << 20;

// Up to a quarter more, so that buffers of similar sizes are one.
size_t RoundUpSize(size_t num_bytes) {
  size_t step = 4096;
  while (8 * step < num_bytes) step *= 2;
  return (num_bytes + step - 1) / step * step;
}

// Whether there is room, but not so much that it had better serve others.
bool Fits(const xrt::bo& bo, size_t num_bytes) {
  return bo && bo.size() >= num_bytes && bo.size() <= 2 * RoundUpSize(num_bytes);
}

std::string Describe(ert_cmd_state state) {
  switch (state) {
    case ERT_CMD_STATE_TIMEOUT:
      return "TIMEOUT: the array did not finish in time";
    case ERT_CMD_STATE_ABORT:
      return "ABORT: the device gave up the run";
    case ERT_CMD_STATE_ERROR:
      return "ERROR: the device refused the run";
    default:
      return std::to_string(static_cast<int>(state));
  }
}

xrt::device OpenDevice() {
  try {
    return xrt::device(0);
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string(error.what()) +
                             "; the NPU needs Linux 6.14 or newer with the driver "
                             "amdxdna, and a user in the group render");
  }
}

// A context, and what lives in it: after a failed run all of it is made anew.
class Session {
 public:
  Session(const xrt::device& device, const xrt::uuid& design, const std::string& kernel)
      : device_(device), context_(device, design), kernel_(context_, kernel) {}

  xrt::bo& Argument(int argument) { return arguments_.at(argument); }

  xrt::bo& Reserve(int argument, size_t num_bytes) {
    xrt::bo& bo = Argument(argument);
    if (Fits(bo, num_bytes)) return bo;
    if (bo) idle_.push_front({argument, std::move(bo)});
    bo = TakeIdle(argument, num_bytes);
    DropIdle();
    if (!bo) {
      bo = xrt::bo(device_, RoundUpSize(num_bytes), xrt::bo::flags::host_only,
                   kernel_.group_id(kFirstDataArgument + argument));
    }
    return bo;
  }

  void Start(const uint32_t* words, size_t num_words, int num_arguments) {
    xrt::run run(kernel_);
    run.set_arg(0, kRunInstructions);
    run.set_arg(kInstructionArgument, Stream(words, num_words));
    run.set_arg(2, static_cast<uint32_t>(num_words));
    for (int i = 0; i < num_arguments; ++i) {
      run.set_arg(kFirstDataArgument + i, Argument(i));
    }
    run.start();
    run_ = std::move(run);
  }

  ert_cmd_state Wait() { return run_.wait(); }

 private:
  struct IdleBuffer {
    int argument;
    xrt::bo bo;
  };

  // An idle buffer of the argument that fits, or none.
  xrt::bo TakeIdle(int argument, size_t num_bytes) {
    for (auto idle = idle_.begin(); idle != idle_.end(); ++idle) {
      if (idle->argument == argument && Fits(idle->bo, num_bytes)) {
        xrt::bo bo = std::move(idle->bo);
        idle_.erase(idle);
        return bo;
      }
    }
    return {};
  }

  void DropIdle() {
    size_t total = 0;
    for (auto idle = idle_.begin(); idle != idle_.end();) {
      total += idle->bo.size();
      idle = total > kMaxIdleBytes ? idle_.erase(idle) : std::next(idle);
    }
  }

  struct LoadedStream {
    xrt::bo bo;
    size_t num_bytes;
  };

  // The stream on the device: the one that is there, or a new one.
  xrt::bo& Stream(const uint32_t* words, size_t num_words) {
    const size_t num_bytes = num_words * sizeof(uint32_t);
    const auto known =
        std::find_if(streams_.begin(), streams_.end(), [&](auto& stream) {
          return stream.num_bytes == num_bytes &&
                 std::memcmp(stream.bo.map(), words, num_bytes) == 0;
        });
    if (known != streams_.end()) {
      streams_.splice(streams_.begin(), streams_, known);
      return streams_.front().bo;
    }
    xrt::bo bo(device_, num_bytes, xrt::bo::flags::cacheable,
               kernel_.group_id(kInstructionArgument));
    std::memcpy(bo.map(), words, num_bytes);
    bo.sync(XCL_BO_SYNC_BO_TO_DEVICE);
    streams_.push_front({std::move(bo), num_bytes});
    stream_bytes_ += num_bytes;
    while (stream_bytes_ > kMaxStreamBytes && streams_.size() > 1) {
      stream_bytes_ -= streams_.back().num_bytes;
      streams_.pop_back();
    }
    return streams_.front().bo;
  }

  xrt::device device_;
  xrt::hw_context context_;
  xrt::kernel kernel_;
  std::array<xrt::bo, kMaxArguments> arguments_;
  std::list<IdleBuffer> idle_;       // latest first
  std::list<LoadedStream> streams_;  // latest first
  size_t stream_bytes_ = 0;
  xrt::run run_;
};

class XrtDriver : public Driver {
 public:
  explicit XrtDriver(const std::string& design_path) : device_(OpenDevice()) {
    const xrt::xclbin design(design_path);
    for (const auto& kernel : design.get_kernels()) {
      if (kernel.get_name().rfind(kKernelName, 0) == 0) kernel_ = kernel.get_name();
    }
    if (kernel_.empty()) {
      throw std::runtime_error(design_path + " has no kernel " + kKernelName +
                               "; build the design with mlir-aie");
    }
    design_ = device_.register_xclbin(design);
    OpenSession();
  }

  std::byte* Buffer(int argument, size_t num_bytes) override {
    return Attempt("no memory for the NPU", [&] {
      return session().Reserve(argument, num_bytes).map<std::byte*>();
    });
  }

  void SyncToDevice(int argument, size_t num_bytes) override {
    Attempt("no copy to the NPU", [&] {
      session().Argument(argument).sync(XCL_BO_SYNC_BO_TO_DEVICE, num_bytes, 0);
    });
  }

  void SyncFromDevice(int argument, size_t num_bytes) override {
    Attempt("no copy from the NPU", [&] {
      session().Argument(argument).sync(XCL_BO_SYNC_BO_FROM_DEVICE, num_bytes, 0);
    });
  }

  void Start(const uint32_t* words, size_t num_words, int num_arguments) override {
    Attempt("the NPU takes no run",
            [&] { session().Start(words, num_words, num_arguments); });
  }

  void Wait() override {
    Attempt("the run failed", [&] {
      const ert_cmd_state state = session().Wait();
      if (state == ERT_CMD_STATE_COMPLETED) return;
      throw std::runtime_error("it ended with state " + Describe(state) +
                               "; try again, and look into dmesg");
    });
  }

 private:
  void OpenSession() {
    session_ = std::make_unique<Session>(device_, design_, kernel_);
  }

  Session& session() {
    if (!session_) OpenSession();
    return *session_;
  }

  // A context that failed once may never work again: it is closed.
  template <typename Function>
  auto Attempt(const char* what, const Function& function) -> decltype(function()) {
    try {
      return function();
    } catch (const std::exception& error) {
      session_.reset();
      throw std::runtime_error(std::string(what) + ": " + error.what());
    }
  }

  xrt::device device_;
  xrt::uuid design_;
  std::string kernel_;
  std::unique_ptr<Session> session_;
};

}  // namespace
}  // namespace jax_npu

#pragma GCC visibility push(default)
jax_npu::Driver* jax_npu_open_driver(const char* design_path) {
  static std::mutex mutex;
  static std::string opened;
  static jax_npu::Driver* driver = nullptr;  // ends with the process
  const std::lock_guard<std::mutex> lock(mutex);
  if (driver == nullptr) {
    try {
      driver = new jax_npu::XrtDriver(design_path);
    } catch (const std::exception& error) {
      throw std::runtime_error(std::string("the NPU does not open: ") + error.what());
    }
    opened = design_path;
  } else if (opened != design_path) {
    throw std::runtime_error("this process runs the design " + opened +
                             " and cannot load " + design_path +
                             " too; use one device in a process");
  }
  return driver;
}
#pragma GCC visibility pop
