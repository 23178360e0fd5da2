#include "xla_ffi/base/npu_events.h"

#include <cstdio>
#include <string>
#include <utility>

#include "aie/json.h"

namespace jax_npu {
namespace {

constexpr int64_t kMaxLines = 10;  // printed for each kind of event

NpuEvents& Events() {
  static NpuEvents& events = *new NpuEvents;  // still read when the process ends
  return events;
}

constexpr std::pair<const char*, std::atomic<int64_t> NpuEvents::*> kNames[] = {
    {"products", &NpuEvents::products},
    {"runs", &NpuEvents::runs},
    {"commands", &NpuEvents::commands},
    {"chained_runs", &NpuEvents::chained_runs},
    {"checks", &NpuEvents::checks},
    {"retries", &NpuEvents::retries},
    {"mismatches", &NpuEvents::mismatches},
    {"host_products", &NpuEvents::host_products},
    {"failures", &NpuEvents::failures},
    {"self_tests", &NpuEvents::self_tests},
    {"failed_self_tests", &NpuEvents::failed_self_tests},
    {"unhealthy", &NpuEvents::unhealthy},
    {"stand_ins", &NpuEvents::stand_ins},
};

}  // namespace

void CountEvent(std::atomic<int64_t> NpuEvents::* event, int64_t amount) {
  Events().*event += amount;
}

int64_t EventCount(std::atomic<int64_t> NpuEvents::* event) {
  return (Events().*event).load();
}

void ReportEvent(std::atomic<int64_t> NpuEvents::* event, const std::string& message) {
  const int64_t count = ++(Events().*event);
  if (count > kMaxLines) return;
  const char* last = count == kMaxLines ? " (more of these are only counted)" : "";
  std::fprintf(stderr, "jax-npu: %s%s\n", message.c_str(), last);
}

}  // namespace jax_npu

const char* jax_npu_events() {
  static thread_local std::string text;
  jax_npu::JsonWriter json;
  json.BeginObject();
  for (const auto& [name, event] : jax_npu::kNames) {
    json.Member(name, jax_npu::EventCount(event));
  }
  json.EndObject();
  text = json.Text();
  return text.c_str();
}
