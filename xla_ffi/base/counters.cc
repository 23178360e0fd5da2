#include "xla_ffi/base/counters.h"

#include <string>
#include <utility>

namespace jax_npu {
namespace {

constexpr std::pair<const char*, Counter Counters::*> kNames[] = {
    {"calls", &Counters::calls},
    {"flops", &Counters::flops},
    {"packed_bytes", &Counters::packed_bytes},
    {"converted_bytes", &Counters::converted_bytes},
    {"copied_bytes", &Counters::copied_bytes},
    {"call_ns", &Counters::call_ns},
    {"pack_ns", &Counters::pack_ns},
    {"multiply_ns", &Counters::multiply_ns},
};

}  // namespace
}  // namespace jax_npu

const char* jax_npu_counters() {
  static thread_local std::string json;
  json = "{";
  for (const auto& [name, counter] : jax_npu::kNames) {
    json += (json.size() > 1 ? ", \"" : "\"") + std::string(name) +
            "\": " + std::to_string((jax_npu::TheCounters().*counter).load());
  }
  json += "}";
  return json.c_str();
}
