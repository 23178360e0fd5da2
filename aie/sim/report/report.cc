#include "aie/sim/report/report.h"

#include "aie/json.h"

namespace jax_npu::sim {

void Usage::Add(const Usage& other) {
  busy += other.busy;
  bytes += other.bytes;
  macs += other.macs;
  for (const auto& [cause, count] : other.stalls) stalls[cause] += count;
}

void Report::Add(const Report& run) {
  device = run.device;
  arithmetic = run.arithmetic;
  clock_hz = run.clock_hz;
  runs += run.runs;
  cycles += run.cycles;
  controller_cycles += run.controller_cycles;
  submission_seconds += run.submission_seconds;
  macs += run.macs;
  kernel_calls += run.kernel_calls;
  instruction_words += run.instruction_words;
  written_arguments = run.written_arguments;
  notices = run.notices;
  for (const auto& [level, count] : run.bytes) bytes[level] += count;
  for (const auto& [index, other] : run.arguments) {
    ArgumentUse& sum = arguments[index];
    sum.read += other.read;
    sum.written += other.written;
    sum.runs += other.runs;
  }
  for (const auto& [name, other] : run.usage) usage[name].Add(other);
}

std::string Report::Json() const {
  JsonWriter json;
  json.BeginObject();
  json.Member("device", device);
  json.Member("arithmetic", arithmetic);
  json.Member("clock_hz", clock_hz);
  json.Member("runs", runs);
  json.Member("cycles", cycles);
  json.Member("controller_cycles", controller_cycles);
  json.Member("submission_seconds", submission_seconds);
  json.Member("device_seconds", device_seconds());
  json.Member("macs", macs);
  json.Member("kernel_calls", kernel_calls);
  json.Member("instruction_words", instruction_words);
  json.Key("notices");
  json.BeginArray();
  for (const std::string& notice : notices) json.Value(notice);
  json.EndArray();
  json.NumbersMember("bytes", bytes);
  json.Key("arguments");
  json.BeginObject();
  for (const auto& [index, one] : arguments) {
    json.Key(std::to_string(index));
    json.BeginObject();
    json.Member("read", one.read);
    json.Member("written", one.written);
    json.Member("runs", one.runs);
    json.EndObject();
  }
  json.EndObject();
  json.Key("usage");
  json.BeginObject();
  for (const auto& [name, one] : usage) {
    json.Key(name);
    json.BeginObject();
    json.Member("busy", one.busy);
    json.Member("bytes", one.bytes);
    json.Member("macs", one.macs);
    json.NumbersMember("stalls", one.stalls);
    json.EndObject();
  }
  json.EndObject();
  json.EndObject();
  return json.Text();
}

}  // namespace jax_npu::sim
