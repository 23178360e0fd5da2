#include "xla_ffi/base/counters.h"

#include <string>
#include <utility>

#include "aie/json.h"

namespace jax_npu {
namespace {

constexpr std::pair<const char*, Counter Counters::*> kNames[] = {
    {"calls", &Counters::calls},
    {"flops", &Counters::flops},
    {"host_calls", &Counters::host_calls},
    {"host_flops", &Counters::host_flops},
    {"packed_bytes", &Counters::packed_bytes},
    {"packed_images", &Counters::packed_images},
    {"reused_images", &Counters::reused_images},
    {"reused_bytes", &Counters::reused_bytes},
    {"converted_bytes", &Counters::converted_bytes},
    {"copied_bytes", &Counters::copied_bytes},
    {"call_ns", &Counters::call_ns},
    {"pack_ns", &Counters::pack_ns},
    {"multiply_ns", &Counters::multiply_ns},
    {"allocate_ns", &Counters::allocate_ns},
    {"flush_ns", &Counters::flush_ns},
    {"flushed_bytes", &Counters::flushed_bytes},
    {"queue_ns", &Counters::queue_ns},
    {"unpack_ns", &Counters::unpack_ns},
    {"check_ns", &Counters::check_ns},
    {"room_ns", &Counters::room_ns},
    {"wait_ns", &Counters::wait_ns},
    {"device_ns", &Counters::device_ns},
    {"optimizer_bytes", &Counters::optimizer_bytes},
    {"optimizer_ns", &Counters::optimizer_ns},
};

}  // namespace
}  // namespace jax_npu

const char* jax_npu_counters() {
  static thread_local std::string text;
  jax_npu::JsonWriter json;
  json.BeginObject();
  for (const auto& [name, counter] : jax_npu::kNames) {
    json.Member(name, (jax_npu::TheCounters().*counter).load());
  }
  json.EndObject();
  text = json.Text();
  return text.c_str();
}
