#include "xla_ffi/gemm_call.h"

#include <atomic>
#include <mutex>
#include <string_view>

#include "xla_ffi/base/counters.h"

namespace jax_npu {
namespace {

// The time in which at least one call ran: calls overlap, so their times do not add up.
class BusyTime {
 public:
  void Begin(int64_t now) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (num_running_++ == 0) since_ = now;
  }

  void End(int64_t now) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Count(TheCounters().call_ns, now - since_);
    since_ = now;
    --num_running_;
  }

 private:
  std::mutex mutex_;
  int64_t num_running_ = 0, since_ = 0;
};

BusyTime& TheBusyTime() {
  static BusyTime& time = *new BusyTime;
  return time;
}

}  // namespace

GemmCall::GemmCall(const char* backend) {
  event_.backend = backend;
  event_.start_ns = NanosecondsNow();
  event_.packed_bytes = -TheCounters().packed_bytes.load(std::memory_order_relaxed);
  TheBusyTime().Begin(event_.start_ns);
}

void GemmCall::Describe(const Axes& axes, const PartPairs& parts) {
  event_.batch = SizeOf(axes.batch);
  event_.m = SizeOf(axes.m);
  event_.k = SizeOf(axes.k);
  event_.n = SizeOf(axes.n);
  event_.passes = static_cast<int64_t>(parts.size());
  event_.lhs_is_mk = !LieTogether(axes.m, &Axis::lhs);
  event_.rhs_is_kn = !LieTogether(axes.k, &Axis::rhs);
  if (IsRecording()) event_.thread = ThisThread();
}

void GemmCall::End(bool succeeded) {
  if (has_ended_) return;
  has_ended_ = true;
  event_.end_ns = NanosecondsNow();
  TheBusyTime().End(event_.end_ns);
  if (!succeeded) return;
  Count(TheCounters().calls, 1);
  Count(TheCounters().flops, event_.flops());
  if (event_.backend == std::string_view("host")) {
    Count(TheCounters().host_calls, 1);
    Count(TheCounters().host_flops, event_.flops());
  }
  if (!IsRecording()) return;
  event_.packed_bytes += TheCounters().packed_bytes.load(std::memory_order_relaxed);
  Record(event_);
}

}  // namespace jax_npu
