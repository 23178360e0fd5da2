#include "xla_ffi/gemm_call.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "aie/json.h"
#include "xla_ffi/base/counters.h"

namespace jax_npu {
namespace {

struct Trace {
  std::atomic<bool> is_on{false};
  std::mutex mutex;
  std::vector<CallEvent> events;
  std::string json;
};

Trace& TheTrace() {
  static Trace& trace = *new Trace;  // calls may end after statics are destroyed
  return trace;
}

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

void Print(const CallEvent& event, JsonWriter& json) {
  json.BeginObject();
  json.Member("backend", event.backend);
  json.Member("batch", event.batch);
  json.Member("m", event.m);
  json.Member("k", event.k);
  json.Member("n", event.n);
  json.Member("passes", event.passes);
  json.Member("lhs", event.lhs_is_mk ? "mk" : "km");
  json.Member("rhs", event.rhs_is_kn ? "kn" : "nk");
  json.Member("thread", event.thread);
  json.Member("start_ns", event.start_ns);
  json.Member("end_ns", event.end_ns);
  json.Member("flops", event.flops());
  json.Member("packed_bytes", event.packed_bytes);
  json.EndObject();
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
  if (TheTrace().is_on.load(std::memory_order_relaxed)) {
    event_.thread = syscall(SYS_gettid);
  }
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
  Trace& trace = TheTrace();
  if (!trace.is_on.load(std::memory_order_relaxed)) return;
  event_.packed_bytes += TheCounters().packed_bytes.load(std::memory_order_relaxed);
  const std::lock_guard<std::mutex> lock(trace.mutex);
  trace.events.push_back(event_);
}

}  // namespace jax_npu

void jax_npu_trace_start() {
  jax_npu::Trace& trace = jax_npu::TheTrace();
  const std::lock_guard<std::mutex> lock(trace.mutex);
  trace.events.clear();
  trace.is_on = true;
}

const char* jax_npu_trace_stop() {
  jax_npu::Trace& trace = jax_npu::TheTrace();
  const std::lock_guard<std::mutex> lock(trace.mutex);
  trace.is_on = false;
  jax_npu::JsonWriter json;
  json.BeginArray();
  for (const jax_npu::CallEvent& event : trace.events) jax_npu::Print(event, json);
  json.EndArray();
  trace.json = json.Text();
  trace.events.clear();
  return trace.json.c_str();
}
