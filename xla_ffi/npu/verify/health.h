// The trust in an NPU: decides which results are checked, and when it has been wrong
// too often.
//
// A wrong result makes the NPU suspicious: from then on every result is checked until
// many in a row were right. Several more wrong results before that make it unhealthy,
// and nothing is computed on it any more. So wrong results can only go unnoticed
// between two samples.

#ifndef JAX_NPU_XLA_FFI_NPU_VERIFY_HEALTH_H_
#define JAX_NPU_XLA_FFI_NPU_VERIFY_HEALTH_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>

#include "aie/json.h"
#include "xla_ffi/npu/verify/check.h"
#include "xla_ffi/npu/verify/self_test.h"

namespace jax_npu {

enum class CheckMode { kOff, kFirst, kSample, kAlways };

// Takes "off", "first", "sample" or "always". Throws std::invalid_argument for another
// name.
CheckMode ParseCheckMode(std::string_view name);

// In mode kSample at least one of so many consecutive runs is checked.
constexpr uint64_t kMaxSampleGap = 32;
constexpr int kMaxMistakes = 4;     // so many make the NPU unhealthy
constexpr int kLongRightRow = 256;  // so many right results in a row clear it

class NpuHealth {
 public:
  // The backend's name is for messages and reports.
  explicit NpuHealth(std::string backend) : backend_(std::move(backend)) {}

  // Returns whether to check the next run. `shape` is a hash of it: the first run of
  // each shape is checked, and others as the mode and earlier mistakes ask for.
  bool ShouldCheck(CheckMode mode, uint64_t shape);
  bool IsSuspicious() const;
  // The run that was to be checked failed: the next one of its shape is the first.
  void ForgetShape(uint64_t shape);

  // Count what checks found. Prints a message when the NPU becomes unhealthy.
  void CountRight();
  void CountMistake(const std::string& mistake);

  // Counts a self-test; a failed one counts as a mistake too.
  void CountSelfTest(const SelfTestResult& result);

  // The rule for checks, given what the last self-test has shown.
  CheckRule Rule(NpuArithmetic expected, int64_t padded_k) const;

  // The reason why nothing is computed on this NPU any more, or "".
  std::string WhyUnhealthy() const;

  // Forgets everything but the last self-test, for tests of this library.
  void Forget();

  // The fields of jax_npu.NpuHealth, and `backend`, as an object.
  void Print(JsonWriter& json) const;

 private:
  // Both are called with the mutex held.
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
