#include "xla_ffi/trace/recorder.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "aie/json.h"

namespace jax_npu {
namespace {

struct Trace {
  std::atomic<bool> is_on{false};
  std::mutex mutex;
  std::vector<CallEvent> calls;
  std::vector<PartEvent> parts;
  std::vector<RunEvent> runs;
  std::string json;

  void Clear() {
    calls.clear();
    parts.clear();
    runs.clear();
  }
};

Trace& TheTrace() {
  static Trace& trace = *new Trace;  // calls may end after statics are destroyed
  return trace;
}

template <typename Event>
void Add(std::vector<Event> Trace::* events, const Event& event) {
  Trace& trace = TheTrace();
  const std::lock_guard<std::mutex> lock(trace.mutex);
  if (trace.is_on) (trace.*events).push_back(event);
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

// What parts and runs have in common.
template <typename Event>
void PrintCommon(const Event& event, JsonWriter& json) {
  json.Member("start_ns", event.start_ns);
  json.Member("end_ns", event.end_ns);
  json.Member("bytes", event.num_bytes);
  json.Member("product", event.product.number);
  json.Member("batch", event.product.batch);
  json.Member("m", event.product.m);
  json.Member("k", event.product.k);
  json.Member("n", event.product.n);
}

void Print(const PartEvent& event, JsonWriter& json) {
  json.BeginObject();
  json.Member("name", event.name);
  json.Member("thread", event.thread);
  PrintCommon(event, json);
  json.EndObject();
}

void Print(const RunEvent& event, JsonWriter& json) {
  json.BeginObject();
  PrintCommon(event, json);
  json.EndObject();
}

template <typename Event>
void PrintAll(const char* name, const std::vector<Event>& events, JsonWriter& json) {
  json.Key(name);
  json.BeginArray();
  for (const Event& event : events) Print(event, json);
  json.EndArray();
}

}  // namespace

bool IsRecording() { return TheTrace().is_on.load(std::memory_order_relaxed); }

int64_t ThisThread() { return syscall(SYS_gettid); }

void Record(const CallEvent& event) { Add(&Trace::calls, event); }
void Record(const PartEvent& event) { Add(&Trace::parts, event); }
void Record(const RunEvent& event) { Add(&Trace::runs, event); }

}  // namespace jax_npu

void jax_npu_trace_start() {
  jax_npu::Trace& trace = jax_npu::TheTrace();
  const std::lock_guard<std::mutex> lock(trace.mutex);
  trace.Clear();
  trace.is_on = true;
}

const char* jax_npu_trace_stop() {
  jax_npu::Trace& trace = jax_npu::TheTrace();
  const std::lock_guard<std::mutex> lock(trace.mutex);
  trace.is_on = false;
  jax_npu::JsonWriter json;
  json.BeginObject();
  jax_npu::PrintAll("calls", trace.calls, json);
  jax_npu::PrintAll("parts", trace.parts, json);
  jax_npu::PrintAll("runs", trace.runs, json);
  json.EndObject();
  trace.json = json.Text();
  trace.Clear();
  return trace.json.c_str();
}
