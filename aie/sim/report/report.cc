#include "aie/sim/report/report.h"

#include <sstream>

namespace jax_npu::sim {
namespace {

template <typename Numbers>
void Write(std::ostream& out, const Numbers& numbers) {
  const char* separator = "{";
  for (const auto& [name, number] : numbers) {
    out << separator << Quoted(name) << ':' << number;
    separator = ",";
  }
  out << (numbers.empty() ? "{}" : "}");
}

}  // namespace

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < ' ' ? '?' : c;
  }
  return quoted + '"';
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
  for (const auto& [level, count] : run.bytes) bytes[level] += count;
  for (const auto& [name, other] : run.usage) {
    Usage& sum = usage[name];
    sum.busy += other.busy;
    sum.bytes += other.bytes;
    sum.macs += other.macs;
    for (const auto& [cause, count] : other.stalls) sum.stalls[cause] += count;
  }
}

std::string Report::Json() const {
  std::ostringstream out;
  out.precision(15);
  out << "{\"device\":" << Quoted(device) << ",\"arithmetic\":" << Quoted(arithmetic)
      << ",\"clock_hz\":" << clock_hz << ",\"runs\":" << runs
      << ",\"cycles\":" << cycles << ",\"controller_cycles\":" << controller_cycles
      << ",\"submission_seconds\":" << submission_seconds
      << ",\"device_seconds\":" << device_seconds() << ",\"macs\":" << macs
      << ",\"kernel_calls\":" << kernel_calls
      << ",\"instruction_words\":" << instruction_words << ",\"bytes\":";
  Write(out, bytes);
  out << ",\"usage\":";
  const char* separator = "{";
  for (const auto& [name, one] : usage) {
    out << separator << Quoted(name) << ":{\"busy\":" << one.busy
        << ",\"bytes\":" << one.bytes << ",\"macs\":" << one.macs << ",\"stalls\":";
    Write(out, one.stalls);
    out << '}';
    separator = ",";
  }
  out << (usage.empty() ? "{}}" : "}}");
  return out.str();
}

}  // namespace jax_npu::sim
