// The driver on XRT 2.25's C++ API. It, session.h and pinned_buffer.h are the only
// files that include XRT. They are compiled against the real XRT and against the
// virtual one of aie/sim.

#include "xla_ffi/driver/driver.h"

#include <xrt/experimental/xrt_kernel.h>
#include <xrt/experimental/xrt_xclbin.h>
#include <xrt/xrt_bo.h>
#include <xrt/xrt_device.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "xla_ffi/driver/errors.h"
#include "xla_ffi/driver/pinned_buffer.h"
#include "xla_ffi/driver/session.h"
#include "xla_ffi/driver/time_limit.h"

namespace jax_npu {
namespace {

constexpr const char* kKernelName = "MLIR_AIE";  // in every xclbin of mlir-aie

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
    throw std::runtime_error(std::string(error.what()) + kDeviceRemedy);
  }
}

class XrtBuffer : public NpuBuffer {
 public:
  // `is_lost` is the driver's, which lives as long as the process.
  XrtBuffer(const std::shared_ptr<Session>& session, int argument, size_t num_bytes,
            std::atomic<bool>& is_lost)
      : is_lost_(is_lost),
        session_(session),
        memory_(session->MemoryOf(argument)),
        num_bytes_(num_bytes),
        buffer_(session->Take(memory_, num_bytes)) {}

  ~XrtBuffer() override {
    if (const auto session = session_.lock()) {
      session->GiveBack(memory_, std::move(buffer_));
    }
  }

  std::byte* data() override { return bo().map<std::byte*>(); }

  void SyncToDevice(size_t first, size_t num_bytes) override {
    std::atomic<bool> is_lost{false};
    try {
      Attempt(Doing::kCopying, "no copy to the NPU", is_lost,
              [&] { bo().sync(XCL_BO_SYNC_BO_TO_DEVICE, num_bytes, first); });
    } catch (...) {
      if (!is_lost) throw;
      is_lost_ = true;  // so no run starts before another session, which copies it all
    }
  }

  void SyncFromDevice(size_t first, size_t num_bytes) override {
    Attempt(Doing::kCopying, "no copy from the NPU", is_lost_,
            [&] { bo().sync(XCL_BO_SYNC_BO_FROM_DEVICE, num_bytes, first); });
  }

  // The buffer's memory in a session: a copy if it was made for an earlier session, or
  // for an argument in other memory.
  const xrt::bo& In(const std::shared_ptr<Session>& session, int argument) {
    const int memory = session->MemoryOf(argument);
    if (session_.lock() == session && memory == memory_) return bo();
    PinnedBuffer copy = session->Take(memory, num_bytes_);
    std::memcpy(copy.bo().map(), bo().map(), num_bytes_);
    copy.bo().sync(XCL_BO_SYNC_BO_TO_DEVICE, num_bytes_, 0);
    buffer_ = std::move(copy);
    session_ = session;
    memory_ = memory;
    return bo();
  }

 private:
  xrt::bo& bo() { return buffer_.bo(); }

  std::atomic<bool>& is_lost_;
  std::weak_ptr<Session> session_;
  int memory_;
  size_t num_bytes_;
  PinnedBuffer buffer_;
};

class XrtDriver : public Driver {
 public:
  explicit XrtDriver(const std::string& design_path)
      : device_(OpenDevice()), xclbin_(design_path) {
    for (const auto& kernel : xclbin_.get_kernels()) {
      if (kernel.get_name().rfind(kKernelName, 0) == 0) kernel_ = kernel.get_name();
    }
    if (kernel_.empty()) {
      throw std::runtime_error(NoKernelMessage(design_path, kKernelName));
    }
    design_ = device_.register_xclbin(xclbin_);
  }

  bool is_lost() const override { return is_lost_; }

  std::shared_ptr<NpuBuffer> Allocate(int argument, size_t num_bytes) override {
    const std::shared_ptr<Session> current = session();
    return Attempt(Doing::kMakingBuffer, "no memory for the NPU", is_lost_, [&] {
      return std::make_shared<XrtBuffer>(current, argument, num_bytes, is_lost_);
    });
  }

  int64_t Start(const std::vector<Invocation>& runs) override {
    const std::shared_ptr<Session> current = session();
    const auto command =
        Attempt(Doing::kStarting, "the NPU takes no run", is_lost_, [&] {
          if (is_lost_) throw std::system_error(ENODEV, std::generic_category());
          return current->Start(
              runs, [&](NpuBuffer& buffer, int argument) -> const auto& {
                return static_cast<XrtBuffer&>(buffer).In(current, argument);
              });
        });
    const std::lock_guard<std::mutex> lock(mutex_);
    commands_[++latest_command_] = command;
    return latest_command_;
  }

  void Wait(int64_t number) override {
    std::shared_ptr<Command> command;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      command = commands_.at(number);
    }
    Attempt(Doing::kRunning, "the run failed", is_lost_, [&] { Finish(*command); });
    const std::lock_guard<std::mutex> lock(mutex_);
    commands_.erase(number);
  }

  void Reset() override {
    decltype(commands_) given_up;
    std::weak_ptr<const bool> open;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      given_up.swap(commands_);
      if (session_) open = session_->open();
      session_.reset();
    }
    given_up.clear();
    // A thread that allocates may keep the session a moment longer. Two contexts of a
    // process work, a third one computes garbage: so wait.
    while (!open.expired()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_lost_ && !session_) device_ = xrt::device();  // closes it
  }

 private:
  void Finish(Command& command) const {
    ert_cmd_state state = ERT_CMD_STATE_COMPLETED;
    std::string detail;
    if (command.runs.size() == 1) {
      state = command.runs.front().wait(max_run_time_);
    } else {
      try {
        const auto end = command.list.wait(max_run_time_ * command.runs.size());
        if (end == std::cv_status::timeout) state = ERT_CMD_STATE_TIMEOUT;
      } catch (const xrt::runlist::command_error& error) {
        state = error.get_command_state();
        detail = std::string(" (") + error.what() + ")";
      }
    }
    if (state != ERT_CMD_STATE_COMPLETED) {
      throw std::runtime_error("it ended with state " + Describe(state) + detail +
                               kRunRemedy);
    }
  }

  std::shared_ptr<Session> session() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!session_) {
      if (is_lost_) OpenAgain();
      session_ = Attempt(Doing::kMakingContext, "no context on the NPU", is_lost_, [&] {
        return std::make_shared<Session>(device_, design_, kernel_);
      });
    }
    return session_;
  }

  // After the device was lost. XRT opens its file anew once nothing in the process
  // holds the old one: buffers of products that are still under way do.
  void OpenAgain() {
    Attempt(Doing::kOpening, "the NPU does not open again", is_lost_, [&] {
      device_ = xrt::device();
      try {
        device_ = xrt::device(0);
      } catch (const std::system_error&) {
        throw;
      } catch (const std::exception& error) {  // XRT lists no device
        throw std::system_error(ENODEV, std::generic_category(), error.what());
      }
      design_ = device_.register_xclbin(xclbin_);
    });
    is_lost_ = false;
  }

  const std::chrono::milliseconds max_run_time_ = MaxRunTime();
  std::atomic<bool> is_lost_{false};
  xrt::device device_;
  xrt::xclbin xclbin_;
  xrt::uuid design_;
  std::string kernel_;
  std::mutex mutex_;  // guards what follows
  std::shared_ptr<Session> session_;
  std::map<int64_t, std::shared_ptr<Command>> commands_;
  int64_t latest_command_ = 0;
};

}  // namespace
}  // namespace jax_npu

#pragma GCC visibility push(default)
jax_npu::Driver* jax_npu_open_driver(const char* design_path) {
  static std::mutex mutex;
  static std::string opened;
  static jax_npu::Driver* driver = nullptr;  // never destroyed
  const std::lock_guard<std::mutex> lock(mutex);
  if (driver == nullptr) {
    std::atomic<bool> is_lost{false};
    driver =
        jax_npu::Attempt(jax_npu::Doing::kOpening, "the NPU does not open", is_lost,
                         [&] { return new jax_npu::XrtDriver(design_path); });
    opened = design_path;
  } else if (opened != design_path) {
    throw std::runtime_error(jax_npu::SecondDesignMessage(opened, design_path));
  }
  return driver;
}

const char* jax_npu_device_error() {
  static thread_local std::string message;
  try {
    jax_npu::OpenDevice();
    return nullptr;
  } catch (const std::exception& error) {
    message = error.what();
    return message.c_str();
  }
}

void jax_npu_pinned_bytes(int64_t* now, int64_t* most) {
  *now = jax_npu::ThePinnedBytes().now();
  *most = jax_npu::ThePinnedBytes().most();
}
#pragma GCC visibility pop
