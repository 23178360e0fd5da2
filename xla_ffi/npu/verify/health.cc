#include "xla_ffi/npu/verify/health.h"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "xla_ffi/base/npu_events.h"
#include "xla_ffi/base/random_bits.h"

namespace jax_npu {
namespace {

constexpr const char* kRemedy =
    "run 'jax-npu doctor'; a new process tries the NPU again, JAX_NPU_BACKEND=host "
    "leaves it alone";

void PrintAtExit() {
  std::fprintf(stderr,
               "jax-npu: the NPU was wrong %lld times in this process, and the host "
               "computed %lld products instead; %s\n",
               static_cast<long long>(EventCount(&NpuEvents::mismatches)),
               static_cast<long long>(EventCount(&NpuEvents::host_products)), kRemedy);
}

// The number of runs to the next sample, 17 to 32. Gaps of one length would always meet
// the same products of a training step.
uint64_t NextGap(uint64_t& random_state) {
  return kMaxSampleGap - NextRandom(random_state) % (kMaxSampleGap / 2);
}

}  // namespace

CheckMode ParseCheckMode(std::string_view name) {
  if (name == "off") return CheckMode::kOff;
  if (name == "first") return CheckMode::kFirst;
  if (name == "sample") return CheckMode::kSample;
  if (name == "always") return CheckMode::kAlways;
  throw std::invalid_argument("check must be off, first, sample or always, got " +
                              std::string(name));
}

bool NpuHealth::ShouldCheck(CheckMode mode, uint64_t shape) {
  if (mode == CheckMode::kOff) return false;
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool is_first = shapes_.insert(shape).second;
  // Counts down whatever else asks for a check, so that the gap holds for all runs.
  bool is_sampled = false;
  if (mode == CheckMode::kSample && --runs_to_sample_ == 0) {
    runs_to_sample_ = NextGap(random_state_);
    is_sampled = true;
  }
  return mode == CheckMode::kAlways || is_first || is_sampled || num_mistakes_ > 0;
}

bool NpuHealth::IsSuspicious() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return num_mistakes_ > 0;
}

void NpuHealth::ForgetShape(uint64_t shape) {
  const std::lock_guard<std::mutex> lock(mutex_);
  shapes_.erase(shape);
}

void NpuHealth::CountRight() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (num_mistakes_ > 0 && ++right_row_ >= kLongRightRow) num_mistakes_ = 0;
}

void NpuHealth::CountMistake(const std::string& mistake) {
  const std::lock_guard<std::mutex> lock(mutex_);
  AddMistake(mistake);
}

void NpuHealth::CountSelfTest(const SelfTestResult& result) {
  CountEvent(&NpuEvents::self_tests);
  const std::lock_guard<std::mutex> lock(mutex_);
  ++num_self_tests_;
  self_test_ = result;
  if (result.mistake.empty()) return;
  ReportEvent(&NpuEvents::failed_self_tests,
              "the NPU fails its self-test: " + result.mistake);
  AddMistake("its self-test failed: " + result.mistake);
}

void NpuHealth::AddMistake(const std::string& mistake) {
  CountEvent(&NpuEvents::mismatches);
  last_mistake_ = mistake;
  right_row_ = 0;
  if (++num_mistakes_ < kMaxMistakes || !why_unhealthy_.empty()) return;
  why_unhealthy_ = "the NPU is unhealthy: " + std::to_string(num_mistakes_) +
                   " results were wrong with fewer than " +
                   std::to_string(kLongRightRow) +
                   " right ones in a row between them, the last: " + mistake;
  ReportEvent(&NpuEvents::unhealthy,
              why_unhealthy_ + "; from now on nothing is computed on it");
  static std::once_flag once;
  std::call_once(once, [] { std::atexit(PrintAtExit); });
}

CheckRule NpuHealth::Rule(NpuArithmetic expected, int64_t padded_k) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool is_known = num_self_tests_ > 0 && self_test_.mistake.empty() &&
                        self_test_.arithmetic != NpuArithmetic::kOther;
  return is_known ? RuleFor(self_test_.arithmetic, true, padded_k)
                  : RuleFor(expected, false, padded_k);
}

std::string NpuHealth::WhyUnhealthy() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return Problem();
}

std::string NpuHealth::Problem() const {
  return why_unhealthy_.empty() ? "" : why_unhealthy_ + "; " + kRemedy;
}

void NpuHealth::Forget() {
  const std::lock_guard<std::mutex> lock(mutex_);
  shapes_.clear();
  runs_to_sample_ = kMaxSampleGap;
  num_mistakes_ = right_row_ = 0;
  last_mistake_.clear();
  why_unhealthy_.clear();
}

void NpuHealth::Print(JsonWriter& json) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  json.BeginObject();
  json.Member("backend", backend_);
  json.Member("problem", Problem());
  json.Member("last_mistake", last_mistake_);
  json.Member("self_tests", num_self_tests_);
  json.Member("self_test_problem", self_test_.mistake);
  json.Member("arithmetic", NameOf(self_test_.arithmetic));
  json.Member("self_test_ms", self_test_.milliseconds);
  json.EndObject();
}

}  // namespace jax_npu
