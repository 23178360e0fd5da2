// The queue on a driver that fails at random: `queue_main tasks chance seed`. One in
// `chance` calls of the driver and ends of tasks fails; with 0 none does. Prints counts
// as JSON; a broken rule is a message on stderr and exit status 1.

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "xla_ffi/npu/queue.h"

namespace {

using jax_npu::Invocation;

constexpr int kNumThreads = 4;
const std::bad_alloc kNoMemory;  // thrown as some results are taken

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::_Exit(1);
}

struct Task {
  std::atomic<int> num_runs{0}, num_ends{0};
  std::atomic<bool> is_on_device{false}, has_result{false};
  std::atomic<bool> is_error{false};
  std::atomic<bool> is_trusted{false}, is_taken{false};
};

class Buffer : public jax_npu::NpuBuffer {
 public:
  explicit Buffer(Task& task) : task(task) { ++num_alive; }
  ~Buffer() override { --num_alive; }
  std::byte* data() override { return nullptr; }
  void SyncToDevice(size_t, size_t) override {}
  void SyncFromDevice(size_t, size_t) override {}
  Task& task;
  static inline std::atomic<int> num_alive{0};
};

struct EndOfWait {
  std::atomic<int>& num_waits;
  ~EndOfWait() { --num_waits; }
};

class FailingDriver : public jax_npu::Driver {
 public:
  FailingDriver(int chance, int seed) : chance_(chance), random_(seed) {}

  std::shared_ptr<jax_npu::NpuBuffer> Allocate(int, size_t) override { std::abort(); }

  int64_t Start(const std::vector<Invocation>& runs) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    RequireOneThread();
    if (is_broken_) throw std::runtime_error("the context is broken");
    Require(!runs.empty() && runs.size() <= jax_npu::kMaxRuns, "runs of a command");
    MayFail("start");
    Require(commands_.size() < jax_npu::kMaxCommands, "too many commands");
    commands_[++latest_] = runs;
    for (const Invocation& run : runs) {
      Require(!TaskOf(run).is_on_device.exchange(true), "a run was started twice");
      ++TaskOf(run).num_runs;
    }
    return latest_;
  }

  void Wait(int64_t command) override {
    Require(num_waits_++ == 0, "two waits at a time");
    Attempt(command);
  }

  bool is_lost() const override { return false; }

  void Reset() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    RequireOneThread();
    Require(num_waits_ == 0, "a reset during a wait");
    ++num_resets;
    is_broken_ = false;
    for (const auto& [number, runs] : commands_) {
      for (const Invocation& run : runs) TaskOf(run).is_on_device = false;
    }
    commands_.clear();
  }

  bool IsUnlucky() {
    const std::lock_guard<std::mutex> lock(random_mutex_);
    return chance_ > 0 && std::uniform_int_distribution<>(1, chance_)(random_) == 1;
  }

  std::atomic<int> num_resets{0};

 private:
  void Attempt(int64_t command) {
    const EndOfWait end{num_waits_};
    const std::lock_guard<std::mutex> lock(mutex_);
    Require(!commands_.empty() && commands_.begin()->first == command, "the oldest");
    MayFail("wait");
    for (const Invocation& run : commands_.at(command)) {
      TaskOf(run).is_on_device = false;
      TaskOf(run).has_result = true;
    }
    commands_.erase(command);
  }

  static Task& TaskOf(const Invocation& run) {
    return static_cast<Buffer&>(*run.arguments.at(0)).task;
  }

  void MayFail(const char* what) {
    if (!IsUnlucky()) return;
    is_broken_ = true;
    throw std::runtime_error(what);
  }

  void RequireOneThread() {
    static const std::thread::id first = std::this_thread::get_id();
    Require(first == std::this_thread::get_id(),
            "a second thread that starts or resets");
  }

  const int chance_;
  std::minstd_rand random_;
  std::mutex mutex_, random_mutex_;
  std::atomic<int> num_waits_{0};
  bool is_broken_ = false;
  std::map<int64_t, std::vector<Invocation>> commands_;
  int64_t latest_ = 0;
};

}  // namespace

int main(int, char** arguments) {
  const int num_tasks = std::atoi(arguments[1]);
  auto& driver = *new FailingDriver(std::atoi(arguments[2]), std::atoi(arguments[3]));
  jax_npu::NpuQueue& queue = jax_npu::QueueOf(driver, "test");
  std::vector<Task> tasks(num_tasks);
  std::atomic<int> num_ends{0};

  const auto submit = [&](int i) {
    Task& task = tasks[i];
    jax_npu::NpuTask submitted{
        {nullptr, 0, {std::make_shared<Buffer>(task)}}, {}, {}, {}, {}};
    submitted.finish = [&driver, &task] {
      Require(task.has_result.exchange(false), "a result was taken that is not there");
      if (driver.IsUnlucky()) throw std::runtime_error("finish");
      return task.is_trusted = !driver.IsUnlucky();
    };
    const bool takes_long = i % 2 == 0;
    if (takes_long) {
      submitted.take = [&task, &tasks, i] {
        Require(task.is_trusted, "a result was taken that is not trusted");
        Require(task.num_ends == 0, "a task ended before its result was taken");
        Require(!task.is_taken.exchange(true), "a result was taken twice");
        // The queue goes on meanwhile.
        while (i == 0 && tasks.back().num_ends == 0) std::this_thread::yield();
        if (i % 64 == 0) throw kNoMemory;
      };
    }
    submitted.done = [&, takes_long, i](std::exception_ptr error) {
      Require(task.is_taken == (takes_long && task.is_trusted), "what was taken");
      const bool is_broken = task.is_taken && i % 64 == 0;
      Require(!is_broken || error, "a result that could not be taken is no error");
      task.is_error = error != nullptr && !is_broken;
      Require(error || task.num_runs > 0, "a task ended that never ran");
      Require(!task.is_on_device, "a task ended while it ran");
      Require(++task.num_ends == 1, "a task ended twice");
      if (++num_ends == num_tasks) {
        Require(Buffer::num_alive == 0, "a buffer outlived its task");
      }
    };
    queue.Submit(std::move(submitted));
  };
  std::vector<std::thread> threads;
  for (int first = 0; first < kNumThreads; ++first) {
    threads.emplace_back([&, first] {
      for (int i = first; i < num_tasks - 1; i += kNumThreads) submit(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (!tasks[0].is_taken && tasks[0].num_ends == 0) std::this_thread::yield();
  submit(num_tasks - 1);
  queue.Drain(std::chrono::minutes(2));
  Require(num_ends == num_tasks, "a task did not end");

  int num_errors = 0, num_runs = 0;
  for (const Task& task : tasks) {
    num_errors += task.is_error;
    num_runs += task.num_runs;
  }
  std::printf("{\"errors\": %d, \"runs\": %d, \"resets\": %d}\n", num_errors, num_runs,
              driver.num_resets.load());
  std::fflush(stdout);
  std::_Exit(0);
}
