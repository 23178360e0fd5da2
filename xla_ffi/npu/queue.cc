#include "xla_ffi/npu/queue.h"

#include <unistd.h>

#include <algorithm>
#include <cfenv>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "aie/json.h"
#include "xla_ffi/base/npu_events.h"
#include "xla_ffi/base/worker_threads.h"
#include "xla_ffi/trace/recorder.h"

namespace jax_npu {
namespace {

constexpr int kMaxAttempts = 4;
// Commands on the device from which tasks wait to be joined: one that runs, and one
// that begins as soon as that ends.
constexpr size_t kReadyCommands = 2;

// The wait before another attempt: 0, 80, 160 ms. A device that resets needs some time,
// and one that is resumed after a suspend more: 0.5, 1, 2 s.
std::chrono::milliseconds Pause(int num_attempts, bool is_lost) {
  if (is_lost) return std::chrono::milliseconds(250 << num_attempts);
  return std::chrono::milliseconds(num_attempts == 1 ? 0 : 20 << num_attempts);
}

std::string What(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& raised) {
    return raised.what();
  }
}

const SelfTest* SelfTestOf(const std::vector<NpuTask>& tasks) {
  const auto asks = [](const NpuTask& task) { return task.self_test != nullptr; };
  const auto found = std::find_if(tasks.begin(), tasks.end(), asks);
  return found == tasks.end() ? nullptr : found->self_test.get();
}

struct Queues {
  std::mutex mutex;
  std::map<Driver*, NpuQueue*> of_driver;
};

Queues& TheQueues() {
  static Queues& queues = *new Queues;  // never destroyed
  return queues;
}

}  // namespace

NpuQueue::NpuQueue(Driver& driver, const char* backend)
    : driver_(driver),
      health_(backend),
      is_virtual_(std::string_view(backend) == "sim"),
      process_(getpid()),
      waiter_(driver, [this](std::exception_ptr error) { EndOfWait(error); }) {
  std::thread([this] { Work(); }).detach();
}

void NpuQueue::RequireItsProcess() const {
  if (getpid() != process_) {
    throw std::runtime_error(
        "this process was forked from one that had opened the NPU, which does not work "
        "in both; start processes with multiprocessing's spawn");
  }
}

void NpuQueue::Submit(NpuTask task) {
  const std::lock_guard<std::mutex> lock(mutex_);
  pending_.push_back(std::move(task));
  ++num_unfinished_;
  changed_.notify_all();
}

void NpuQueue::ResetIfLost() {
  if (!driver_.is_lost()) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  must_reset_ = true;
  changed_.notify_all();
}

void NpuQueue::Drain(std::chrono::milliseconds max_time) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, max_time, [this] { return num_unfinished_ == 0; });
}

// Keeps a command ready behind the one that runs, and finishes results of the oldest
// while the later ones compute.
void NpuQueue::Work() {
  // XLA's threads flush denormals to 0, and a new thread inherits that. The checks need
  // denormals.
  std::fesetenv(FE_DFL_ENV);
  for (;;) {
    std::vector<NpuTask> tasks = NextTasks();
    if (tasks.empty() && commands_.empty()) {
      Reset();
    } else if (tasks.empty()) {
      FinishOldest();
    } else {
      Start(std::move(tasks));
    }
  }
}

// The tasks of the next command, or none when the oldest command has ended, or when
// there are none and a reset is due. Commands on a lost device fail, which resets too.
std::vector<NpuTask> NpuQueue::NextTasks() {
  std::unique_lock<std::mutex> lock(mutex_);
  // More tasks may come while a command waits behind the one that runs. A full one
  // cannot grow.
  const auto is_time_to_start = [this] {
    const bool is_full = pending_.size() >= kMaxRuns;
    return !pending_.empty() &&
           commands_.size() < (is_full ? kMaxCommands : kReadyCommands);
  };
  {
    std::optional<PartTimer> timer;
    if (!commands_.empty()) timer.emplace(Part::kWait);
    changed_.wait(lock, [&] {
      return has_oldest_ended_ || is_time_to_start() ||
             (must_reset_ && commands_.empty());
    });
  }
  if (commands_.empty() && must_reset_) return {};
  std::vector<NpuTask> tasks;
  if (!is_time_to_start()) return tasks;
  while (!pending_.empty() && tasks.size() < kMaxRuns) {
    tasks.push_back(std::move(pending_.front()));
    pending_.pop_front();
  }
  return tasks;
}

void NpuQueue::Start(std::vector<NpuTask> tasks) {
  std::vector<Invocation> runs;
  for (NpuTask& task : tasks) {
    ++task.num_attempts;
    runs.push_back(task.run);
  }
  std::exception_ptr cause;
  try {
    TestContext(SelfTestOf(tasks));
    commands_.push_back(StartCommand(runs));
    commands_.back().tasks = std::move(tasks);
    if (commands_.size() == 1) WaitFor(commands_.back());
    CountEvent(&NpuEvents::commands);
    CountEvent(&NpuEvents::chained_runs, static_cast<int64_t>(runs.size()) - 1);
    return;
  } catch (...) {
    cause = std::current_exception();
  }
  runs.clear();  // they share the tasks' buffers
  Recover(std::move(tasks), cause);
}

NpuQueue::Command NpuQueue::StartCommand(const std::vector<Invocation>& runs) {
  const PartTimer timer(Part::kQueue);
  const int64_t now = NanosecondsNow();
  return {driver_.Start(runs), now, {}};
}

void NpuQueue::RecordEnd(const Command& command, const std::vector<NpuTask>& tasks) {
  const int64_t now = NanosecondsNow();
  if (!is_virtual_) {
    Count(TheCounters().device_ns, now - std::max(command.start_ns, latest_end_ns_));
  }
  latest_end_ns_ = now;
  if (!IsRecording()) return;
  for (const NpuTask& task : tasks) {
    Record(RunEvent{command.start_ns, now, task.num_bytes, task.product});
  }
}

// Tests one context after another until one passes. Throws what the driver throws, and
// UnhealthyNpu after too many failures.
void NpuQueue::TestContext(const SelfTest* test) {
  // Finish all commands first: a reset after a failed test would lose them.
  const bool is_due = test != nullptr && !context_is_tested_;
  while (is_due && !commands_.empty()) FinishOldest();
  RequireHealth();
  while (test != nullptr && !context_is_tested_) {
    const SelfTestResult result = RunSelfTest(driver_, *test);
    health_.CountSelfTest(result);
    context_is_tested_ = result.mistake.empty();
    if (!context_is_tested_) Reset();
    RequireHealth();
  }
}

void NpuQueue::RequireHealth() const {
  const std::string problem = health_.WhyUnhealthy();
  if (!problem.empty()) throw UnhealthyNpu(problem);
}

void NpuQueue::WaitFor(const Command& command) {
  is_waiting_ = true;
  waiter_.Begin(command.number);
}

void NpuQueue::EndOfWait(std::exception_ptr error) {
  const std::lock_guard<std::mutex> lock(mutex_);
  has_oldest_ended_ = true;
  oldest_error_ = error;
  changed_.notify_all();
}

// Returns what the wait threw, or null.
std::exception_ptr NpuQueue::WaitForOldest() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return has_oldest_ended_; });
  has_oldest_ended_ = is_waiting_ = false;
  return std::exchange(oldest_error_, nullptr);
}

void NpuQueue::FinishOldest() {
  const std::exception_ptr error = WaitForOldest();
  if (!error) RecordEnd(commands_.front(), commands_.front().tasks);
  std::vector<NpuTask> tasks = std::move(commands_.front().tasks);
  commands_.pop_front();
  if (error) return Recover(std::move(tasks), error);
  if (!commands_.empty()) WaitFor(commands_.front());
  Finish(std::move(tasks));
}

void NpuQueue::Finish(std::vector<NpuTask> tasks) {
  for (size_t i = 0; i < tasks.size(); ++i) {
    bool is_trusted = false;
    try {
      is_trusted = tasks[i].finish();
    } catch (...) {
      return Recover({std::make_move_iterator(tasks.begin() + i),
                      std::make_move_iterator(tasks.end())},
                     std::current_exception());
    }
    if (is_trusted) {
      Take(std::move(tasks[i]));
      continue;
    }
    End(std::move(tasks[i]), nullptr);
    return Recover({std::make_move_iterator(tasks.begin() + i + 1),
                    std::make_move_iterator(tasks.end())},
                   nullptr);
  }
}

// Opens a new context and runs, one by one, the failed tasks and all that were started
// after them; new tasks come later.
void NpuQueue::Recover(std::vector<NpuTask> failed, std::exception_ptr cause) {
  if (is_waiting_) WaitForOldest();
  for (Command& command : commands_) {
    std::move(command.tasks.begin(), command.tasks.end(), std::back_inserter(failed));
  }
  commands_.clear();
  Reset();
  for (NpuTask& task : failed) RunAlone(std::move(task), cause);
}

void NpuQueue::Reset() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    must_reset_ = false;
  }
  driver_.Reset();
  images_.Drop();  // they lie in the context that is gone
  context_is_tested_ = false;
}

// Runs a task in a command of its own, so that no other task's failure hits it.
void NpuQueue::RunAlone(NpuTask task, std::exception_ptr cause) {
  while (cause == nullptr || task.num_attempts < kMaxAttempts) {
    try {
      RequireHealth();
    } catch (...) {
      return End(std::move(task), std::current_exception());
    }
    if (cause != nullptr) {
      ReportEvent(&NpuEvents::retries, What(cause) + "; the run is tried again");
      std::this_thread::sleep_for(Pause(task.num_attempts, driver_.is_lost()));
    }
    ++task.num_attempts;
    try {
      TestContext(task.self_test.get());
      const Command command = StartCommand({task.run});
      driver_.Wait(command.number);
      RecordEnd(command, {task});
      CountEvent(&NpuEvents::commands);
      if (task.finish()) return Take(std::move(task));
      Reset();
      return End(std::move(task), nullptr);
    } catch (const UnhealthyNpu&) {
      return End(std::move(task), std::current_exception());
    } catch (...) {
      cause = std::current_exception();
      Reset();
    }
  }
  CountEvent(&NpuEvents::failures);
  End(std::move(task),
      std::make_exception_ptr(std::runtime_error(
          What(cause) + " (" + std::to_string(task.num_attempts) + " attempts)")));
}

// Ends a task whose result is trusted.
void NpuQueue::Take(NpuTask task) {
  if (!task.take) return End(std::move(task), nullptr);
  task.run.arguments.clear();
  task.finish = nullptr;
  const auto take = [this, shared = std::make_shared<NpuTask>(std::move(task))] {
    std::exception_ptr error;
    try {
      shared->take();
    } catch (...) {
      error = std::current_exception();
    }
    End(std::move(*shared), error);
  };
  try {
    TheWorkerThreads().Schedule(take);
  } catch (const std::system_error&) {  // no thread for it
    take();
  }
}

void NpuQueue::End(NpuTask task, std::exception_ptr error) {
  if (error) ResetIfLost();
  task.run.arguments.clear();  // frees the buffers before anybody is told
  task.finish = nullptr;
  task.take = nullptr;
  task.done(error);
  const std::lock_guard<std::mutex> lock(mutex_);
  --num_unfinished_;
  changed_.notify_all();
}

NpuQueue& QueueOf(Driver& driver, const char* backend) {
  const std::lock_guard<std::mutex> lock(TheQueues().mutex);
  NpuQueue*& queue = TheQueues().of_driver[&driver];
  if (queue == nullptr) queue = new NpuQueue(driver, backend);
  queue->RequireItsProcess();
  return *queue;
}

}  // namespace jax_npu

const char* jax_npu_health() {
  static thread_local std::string text;
  const std::lock_guard<std::mutex> lock(jax_npu::TheQueues().mutex);
  jax_npu::JsonWriter json;
  json.BeginArray();
  for (const auto& [driver, queue] : jax_npu::TheQueues().of_driver) {
    queue->health().Print(json);
  }
  json.EndArray();
  text = json.Text();
  return text.c_str();
}

void jax_npu_forget_health() {
  const std::lock_guard<std::mutex> lock(jax_npu::TheQueues().mutex);
  for (const auto& [driver, queue] : jax_npu::TheQueues().of_driver) {
    queue->health().Forget();
  }
}
