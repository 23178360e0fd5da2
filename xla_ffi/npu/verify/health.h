// Whether an NPU is to be trusted: which results are checked, and when it has been
// wrong too often.
//
// A wrong result makes the NPU suspicious: every result is checked until a long row of
// them was right. Several wrong ones before that make it unhealthy, and nothing is
// computed on it any more. So at most the runs between two samples return a wrong
// result unseen.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_HEALTH_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_HEALTH_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>

#include "xla_ffi/npu/verify/check.h"
#include "xla_ffi/npu/verify/self_test.h"

namespace jax_npu {

enum class CheckMode { kOff, kFirst, kSample, kAlways };

// "off", "first", "sample" or "always". Throws std::invalid_argument.
CheckMode ParseCheckMode(std::string_view name);

// In mode kSample, one of so many runs that follow one another is checked, or more.
constexpr uint64_t kMaxSampleGap = 32;
constexpr int kMaxMistakes = 4;     // before the NPU is unhealthy
constexpr int kLongRightRow = 256;  // of checked runs, before a mistake is forgotten

class NpuHealth {
 public:
  // The backend's name is for messages and reports.
  explicit NpuHealth(std::string backend) : backend_(std::move(backend)) {}

  // Whether to check the next run, for which `shape` stands: the first one of a shape,
  // and others as the mode and the latest mistake ask for.
  bool ShouldCheck(CheckMode mode, uint64_t shape);
  bool IsSuspicious() const;
  // The run that was to be checked did not take place: the next one is the first.
  void ForgetShape(uint64_t shape);

  // What a check found. The mistake that is one too many is reported on stderr.
  void CountRight();
  void CountMistake(const std::string& mistake);

  // A passed or failed self-test; a failed one counts as a mistake.
  void CountSelfTest(const SelfTestResult& result);

  // The rule for a result, after what the last self-test showed.
  CheckRule Rule(NpuArithmetic expected, int64_t padded_k) const;

  // Why nothing is computed on this NPU any more, or "".
  std::string WhyUnhealthy() const;

  // As after a restart, but for the self-test of the present context: for tests.
  void Forget();

  std::string Json() const;

 private:
  // With the mutex held.
  void AddMistake(const std::string& mistake);
  std::string Problem() const;

  const std::string backend_;
  mutable std::mutex mutex_;
  std::unordered_set<uint64_t> shapes_;
  uint64_t runs_to_sample_ = kMaxSampleGap, random_state_ = 0;
  int num_mistakes_ = 0, right_row_ = 0;
  std::string last_mistake_, why_unhealthy_;
  SelfTestResult self_test_;
  int num_self_tests_ = 0;
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_VERIFY_HEALTH_H_
