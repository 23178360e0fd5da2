#include "aie/sim/xrt/device_times.h"

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "aie/json.h"

namespace jax_npu::sim {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

struct RunTime {
  int64_t start_ns, end_ns;
  bool is_chained;
  int64_t macs, read_bytes, written_bytes;
};

struct DeviceTimes {
  std::mutex mutex;
  int64_t device_ns = 0;
  int64_t paced_runs = 0, late_ns = 0, longest_ns = 0;
  bool is_recording = false;
  std::vector<RunTime> runs;
};

// Never destroyed: threads may still run when the process ends.
DeviceTimes& TheDeviceTimes() {
  static DeviceTimes& times = *new DeviceTimes;
  return times;
}

int64_t Ns(steady_clock::time_point time) {
  return std::chrono::duration_cast<nanoseconds>(time.time_since_epoch()).count();
}

int64_t BytesAt(const Report& report, const char* level) {
  const auto found = report.bytes.find(level);
  return found == report.bytes.end() ? 0 : found->second;
}

void Print(const RunTime& run, JsonWriter& json) {
  json.BeginObject();
  json.Member("start_ns", run.start_ns);
  json.Member("end_ns", run.end_ns);
  json.Member("is_chained", run.is_chained ? 1 : 0);
  json.Member("macs", run.macs);
  json.Member("read_bytes", run.read_bytes);
  json.Member("written_bytes", run.written_bytes);
  json.EndObject();
}

}  // namespace

void CountRun(steady_clock::time_point start, steady_clock::time_point end,
              const Report& report, bool is_chained) {
  DeviceTimes& times = TheDeviceTimes();
  const std::lock_guard<std::mutex> lock(times.mutex);
  times.device_ns += Ns(end) - Ns(start);
  if (!times.is_recording) return;
  times.runs.push_back({Ns(start), Ns(end), is_chained, report.macs,
                        BytesAt(report, "ddr_read"), BytesAt(report, "ddr_write")});
}

void CountLateness(nanoseconds late) {
  DeviceTimes& times = TheDeviceTimes();
  const std::lock_guard<std::mutex> lock(times.mutex);
  ++times.paced_runs;
  times.late_ns += late.count();
  times.longest_ns = std::max<int64_t>(times.longest_ns, late.count());
}

}  // namespace jax_npu::sim

using jax_npu::sim::TheDeviceTimes;

int64_t jax_npu_sim_device_ns() {
  const std::lock_guard<std::mutex> lock(TheDeviceTimes().mutex);
  return TheDeviceTimes().device_ns;
}

const char* jax_npu_sim_lateness() {
  static thread_local std::string text;
  jax_npu::JsonWriter json;
  const std::lock_guard<std::mutex> lock(TheDeviceTimes().mutex);
  json.BeginObject();
  json.Member("runs", TheDeviceTimes().paced_runs);
  json.Member("late_ns", TheDeviceTimes().late_ns);
  json.Member("longest_ns", TheDeviceTimes().longest_ns);
  json.EndObject();
  text = json.Text();
  return text.c_str();
}

void jax_npu_sim_start_timeline() {
  const std::lock_guard<std::mutex> lock(TheDeviceTimes().mutex);
  TheDeviceTimes().runs.clear();
  TheDeviceTimes().is_recording = true;
}

const char* jax_npu_sim_stop_timeline() {
  static thread_local std::string text;
  jax_npu::JsonWriter json;
  const std::lock_guard<std::mutex> lock(TheDeviceTimes().mutex);
  TheDeviceTimes().is_recording = false;
  json.BeginArray();
  for (const auto& run : TheDeviceTimes().runs) jax_npu::sim::Print(run, json);
  json.EndArray();
  TheDeviceTimes().runs.clear();
  text = json.Text();
  return text.c_str();
}
