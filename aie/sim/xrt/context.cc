#include "aie/sim/xrt/context.h"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "aie/sim/xrt/device_times.h"

namespace xrt {
namespace {

using jax_npu::sim::ArrayMutex;
using jax_npu::sim::BuiltInKernels;
using jax_npu::sim::ChecksAreOn;
using jax_npu::sim::Configuration;
using jax_npu::sim::DeviceBuffer;
using jax_npu::sim::Fault;
using jax_npu::sim::KernelTable;
using jax_npu::sim::Pace;
using jax_npu::sim::VirtualNpu;

constexpr size_t kMaxOutstanding = 4;
constexpr uint64_t kRunInstructions = 3;  // the opcode of XRT's NPU kernels

std::shared_ptr<VirtualNpu> MakeArray(const Configuration& design) {
  if (jax_npu::sim::IsPaced()) return nullptr;
  const auto options = jax_npu::sim::KernelOptionsOfProcess();
  auto array = std::make_shared<VirtualNpu>(
      design, std::make_shared<const KernelTable>(BuiltInKernels(design, options)),
      options.arithmetic);
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  jax_npu::sim::AddToTrace(array);
  return array;
}

std::unique_ptr<Pace> MakePace(const Configuration& design) {
  return jax_npu::sim::IsPaced() ? std::make_unique<Pace>(design) : nullptr;
}

// Fills the device's memory from a linear congruential generator (Numerical Recipes).
void FillWithGarbage(bo_impl& buffer, uint32_t state = 1) {
  for (size_t i = 0; buffer.device() != nullptr && i < buffer.size(); ++i) {
    state = state * 1664525 + 1013904223;
    buffer.device()[i] = static_cast<std::byte>(state >> 24);
  }
}

// Flips high bits of one word. It should be a word of the result, so one that changed
// since `before` is preferred, or else one that is not zero.
void SpoilAWord(bo_impl& buffer, const std::vector<uint32_t>& before, uint64_t random) {
  std::vector<uint32_t> words(before.size());
  if (words.empty()) return;
  std::memcpy(words.data(), buffer.device(), words.size() * sizeof words[0]);
  const bool is_changed = words != before;
  std::vector<size_t> candidates;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] != (is_changed ? before[i] : 0)) candidates.push_back(i);
  }
  const size_t i = candidates.empty() ? random % words.size()
                                      : candidates[random % candidates.size()];
  // The highest bit of an f32's exponent, and any of the next four.
  words[i] ^= uint32_t{1} << 30 | (static_cast<uint32_t>(random >> 40) & 0xF) << 26;
  std::memcpy(buffer.device() + i * sizeof words[i], &words[i], sizeof words[i]);
}

const uint32_t* WordsOf(const Invocation& run) {
  return reinterpret_cast<const uint32_t*>(run.instructions->device());
}

std::vector<uint32_t> WordsOf(const bo_impl& buffer) {
  if (buffer.device() == nullptr) return {};
  std::vector<uint32_t> words(buffer.size() / sizeof(uint32_t));
  std::memcpy(words.data(), buffer.device(), words.size() * sizeof(uint32_t));
  return words;
}

}  // namespace

hw_context_impl::hw_context_impl(const Configuration& design,
                                 std::shared_ptr<device_impl> device)
    : slot_(design),
      device_(std::move(device)),
      array_(MakeArray(design)),
      pace_(MakePace(design)),
      worker_([this] { Work(); }) {}

hw_context_impl::~hw_context_impl() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_closing_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

void hw_context_impl::Submit(const std::shared_ptr<Command>& command) {
  const bool checks = ChecksAreOn();
  std::unique_lock<std::mutex> lock(mutex_);
  if (checks && num_outstanding_ >= kMaxOutstanding) {
    throw run::command_error(ERT_CMD_STATE_ERROR,
                             "a context takes 4 commands at a time and this is one "
                             "more; wait for the first before the fifth");
  }
  changed_.wait(lock, [this] { return num_outstanding_ < kMaxOutstanding; });
  DrawFates(*command);
  ++num_outstanding_;
  command->progress.state = ERT_CMD_STATE_QUEUED;
  command->submitted = std::chrono::steady_clock::now();
  queue_.push_back(command);
  changed_.notify_all();
}

void hw_context_impl::DrawFates(Command& command) {
  for (Invocation& run : command.runs) {
    if (is_evicted_) break;
    run.fate = jax_npu::sim::NextRun();
    if (run.fate.fault != Fault::kEvicted) continue;
    jax_npu::sim::Happened(Fault::kEvicted);
    is_evicted_ = true;
  }
  if (is_evicted_) jax_npu::sim::ThrowIoctlError("EXEC_CMD", ENOENT);
}

Progress hw_context_impl::Wait(const Command& command,
                               std::chrono::milliseconds timeout) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto is_over = [&command] { return command.progress.IsOver(); };
  if (timeout.count() == 0) {
    changed_.wait(lock, is_over);
  } else {
    changed_.wait_for(lock, timeout, is_over);
  }
  return command.progress;
}

Progress hw_context_impl::Look(const Command& command) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return command.progress;
}

void hw_context_impl::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return is_closing_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const std::shared_ptr<Command> command = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    jax_npu::sim::WaitWhileHeld();
    Progress end = Execute(*command);
    lock.lock();
    command->progress = std::move(end);
    --num_outstanding_;
    changed_.notify_all();
  }
}

Progress hw_context_impl::Execute(const Command& command) {
  submitted_ = command.submitted;
  Progress progress;
  for (const Invocation& run : command.runs) {
    progress.state = Execute(run, progress.num_completed > 0, progress.error);
    if (progress.state != ERT_CMD_STATE_COMPLETED) break;
    ++progress.num_completed;
  }
  return progress;
}

ert_cmd_state hw_context_impl::Execute(const Invocation& run, bool is_chained,
                                       std::string& error) {
  const auto [fault, random] = run.fate;
  if (fault == Fault::kNone || is_broken_) {
    return ExecuteFaultless(run, is_chained, error);
  }
  jax_npu::sim::Happened(fault);
  bo_impl* output = run.data.empty() ? nullptr : run.data.back().get();
  switch (fault) {
    case Fault::kError:
      return ERT_CMD_STATE_ERROR;
    case Fault::kUntouched:
      return ERT_CMD_STATE_COMPLETED;
    case Fault::kGarbage:
    case Fault::kWrong: {
      std::vector<uint32_t> before;
      if (output != nullptr) before = WordsOf(*output);
      const ert_cmd_state state = ExecuteFaultless(run, is_chained, error);
      if (state != ERT_CMD_STATE_COMPLETED || output == nullptr) return state;
      if (fault == Fault::kWrong) {
        SpoilAWord(*output, before, random);
      } else {
        FillWithGarbage(*output, static_cast<uint32_t>(random));
      }
      return state;
    }
    case Fault::kStuck: {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return is_closing_; });
      break;
    }
    default:
      break;
  }
  is_broken_ = is_broken_by_fault_ = true;
  return fault == Fault::kTimeout ? ERT_CMD_STATE_TIMEOUT : ERT_CMD_STATE_ABORT;
}

ert_cmd_state hw_context_impl::ExecuteFaultless(const Invocation& run, bool is_chained,
                                                std::string& error) {
  const bool checks = ChecksAreOn();
  const auto fail = [&](ert_cmd_state state, const std::string& what) {
    if (checks && !is_broken_by_fault_) error = what;
    return state;
  };
  if (is_broken_) {
    return fail(ERT_CMD_STATE_ABORT, "a run of this context hung; open a new context");
  }
  if (run.opcode != kRunInstructions) {
    return fail(ERT_CMD_STATE_ERROR,
                "argument 0 (the opcode) must be 3, got " + std::to_string(run.opcode));
  }
  // As on silicon, without checks: the run does nothing, or computes garbage.
  if (run.is_in_wrong_memory) return ERT_CMD_STATE_COMPLETED;
  if (slot_.is_one_too_many()) {
    if (!run.data.empty()) FillWithGarbage(*run.data.back());
    return ERT_CMD_STATE_COMPLETED;
  }
  try {
    if (pace_) {
      Pretend(run, is_chained);
    } else {
      Compute(run, is_chained);
    }
  } catch (const std::exception& trap) {
    is_broken_ = true;
    return fail(ERT_CMD_STATE_TIMEOUT, trap.what());
  }
  return ERT_CMD_STATE_COMPLETED;
}

void hw_context_impl::Compute(const Invocation& run, bool is_chained) {
  std::vector<DeviceBuffer> arguments;
  for (const auto& buffer : run.data) {
    arguments.push_back({buffer->device(), buffer->size()});
  }
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  const auto start = std::chrono::steady_clock::now();
  array_->Run(WordsOf(run), run.num_words, arguments, is_chained);
  jax_npu::sim::CountRun(start, std::chrono::steady_clock::now(), array_->last_run(),
                         is_chained);
  jax_npu::sim::AddToReport(array_->last_run());
}

void hw_context_impl::Pretend(const Invocation& run, bool is_chained) {
  std::vector<size_t> sizes;
  for (const auto& buffer : run.data) sizes.push_back(buffer->size());
  const Pace::Run taken =
      pace_->Take(WordsOf(run), run.num_words, sizes, is_chained, submitted_);
  for (const int argument : taken.report.written_arguments) {
    run.data[argument]->FillWithStandIns();
  }
  jax_npu::sim::SleepUntil(taken.end);
}

}  // namespace xrt
