#include "aie/sim/xrt/pace.h"

#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <memory>
#include <mutex>

#include "aie/sim/program/kernel_table.h"
#include "aie/sim/xrt/device_times.h"
#include "aie/sim/xrt/process.h"

namespace jax_npu::sim {
namespace {

// What the report says in place of an arithmetic.
constexpr char kNoArithmetic[] = "none: paced, results are stand-ins";

using Nanoseconds = std::chrono::nanoseconds;

Nanoseconds FromSeconds(double seconds) {
  return Nanoseconds(static_cast<int64_t>(1e9 * seconds));
}

template <typename Number>
void Append(std::string& bytes, const Number* numbers, size_t count) {
  bytes.append(reinterpret_cast<const char*>(numbers), count * sizeof(Number));
}

std::shared_ptr<const KernelTable> Kernels(const Configuration& design) {
  return std::make_shared<const KernelTable>(
      BuiltInKernels(design, KernelOptionsOfProcess()));
}

}  // namespace

Pace::Pace(const Configuration& design)
    : array_(design, Kernels(design), kNoArithmetic, Effect::kOnlyTimed) {}

std::pair<const Report&, bool> Pace::ReportOf(const uint32_t* words, size_t num_words,
                                              const std::vector<size_t>& sizes,
                                              bool is_chained) {
  std::string key;
  Append(key, words, num_words);
  Append(key, sizes.data(), sizes.size());
  key.push_back(is_chained ? 1 : 0);
  const auto known = reports_.find(key);
  if (known != reports_.end()) return {known->second, false};
  std::vector<DeviceBuffer> arguments;
  for (const size_t size : sizes) arguments.push_back({nullptr, size});
  array_.Run(words, num_words, arguments, is_chained);
  Report report = array_.last_run();
  report.usage.clear();  // to add it to another takes as long as a short run
  return {reports_.emplace(std::move(key), std::move(report)).first->second, true};
}

Pace::Run Pace::Take(const uint32_t* words, size_t num_words,
                     const std::vector<size_t>& sizes, bool is_chained,
                     TimePoint submitted) {
  const auto& [report, is_new] = ReportOf(words, num_words, sizes, is_chained);
  TimePoint ready = submitted + FromSeconds(report.submission_seconds);
  if (is_new) ready = std::max(ready, std::chrono::steady_clock::now());
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  static TimePoint free_at;  // the chip serves one context at a time
  const TimePoint start = std::max(ready, free_at);
  free_at = start + FromSeconds(report.device_seconds());
  AddToReport(report);
  CountRun(start, free_at, report, is_chained);
  return {start, free_at, report};
}

void SleepUntil(TimePoint end) {
  // By default Linux wakes a thread up to 50 us late, to wake several at once.
  static thread_local const int exact = prctl(PR_SET_TIMERSLACK, 1);
  (void)exact;
  const auto since_epoch = end.time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_epoch);
  const timespec at = {static_cast<time_t>(seconds.count()),
                       static_cast<long>((since_epoch - seconds).count())};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) != 0) continue;
  CountLateness(std::chrono::steady_clock::now() - end);
}

}  // namespace jax_npu::sim
