#include "aie/sim/report/trace.h"

#include <map>
#include <sstream>

#include "aie/sim/report/report.h"

namespace jax_npu::sim {

int Trace::AddTrack(const std::string& group, const std::string& name) {
  tracks_.push_back({group, name});
  return static_cast<int>(tracks_.size()) - 1;
}

// Chrome's trace event format: a process a group, a thread a track, times in us.
std::string Trace::Json(double clock_hz) const {
  std::map<std::string, int> groups;
  std::ostringstream out;
  out.precision(15);
  out << "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[";
  const char* separator = "\n";
  for (size_t i = 0; i < tracks_.size(); ++i) {
    const Track& track = tracks_[i];
    const auto [group, is_new] = groups.try_emplace(track.group, groups.size() + 1);
    if (is_new) {
      out << separator
          << "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":" << group->second
          << ",\"args\":{\"name\":\"" << track.group << "\"}}";
      separator = ",\n";
    }
    out << separator
        << "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":" << group->second
        << ",\"tid\":" << i << ",\"args\":{\"name\":\"" << track.name << "\"}}";
    out << ",\n{\"ph\":\"M\",\"name\":\"thread_sort_index\",\"pid\":" << group->second
        << ",\"tid\":" << i << ",\"args\":{\"sort_index\":" << i << "}}";
  }
  const double us = 1e6 / clock_hz;
  for (const Event& event : events_) {
    out << separator << "{\"ph\":\"X\",\"name\":" << Quoted(event.name)
        << ",\"pid\":" << groups.at(tracks_[event.track].group)
        << ",\"tid\":" << event.track << ",\"ts\":" << event.begin * us
        << ",\"dur\":" << (event.end - event.begin) * us << "}";
    separator = ",\n";
  }
  out << "\n]}\n";
  return out.str();
}

}  // namespace jax_npu::sim
