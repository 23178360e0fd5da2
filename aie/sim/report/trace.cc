#include "aie/sim/report/trace.h"

#include <map>

#include "aie/json.h"

namespace jax_npu::sim {
namespace {

constexpr int kNoTrack = -1;

// A metadata event, which gives a process or thread (a group or track) its `argument`.
template <typename T>
void WriteMetadata(JsonWriter& json, const char* event, int group, int track,
                   const char* argument, const T& value) {
  json.BeginObject();
  json.Member("ph", "M");
  json.Member("name", event);
  json.Member("pid", group);
  if (track != kNoTrack) json.Member("tid", track);
  json.Key("args");
  json.BeginObject();
  json.Member(argument, value);
  json.EndObject();
  json.EndObject();
}

}  // namespace

int Trace::AddTrack(const std::string& group, const std::string& name) {
  tracks_.push_back({group, name});
  return static_cast<int>(tracks_.size()) - 1;
}

// Chrome's trace event format: a process for each group, a thread for each track, and
// times in microseconds.
std::string Trace::Json(double clock_hz) const {
  std::map<std::string, int> groups;
  JsonWriter json;
  json.BeginObject();
  json.Member("displayTimeUnit", "ns");
  json.Key("traceEvents");
  json.BeginArray();
  for (int i = 0; i < static_cast<int>(tracks_.size()); ++i) {
    const Track& track = tracks_[i];
    const int next = static_cast<int>(groups.size()) + 1;
    const auto [group, is_new] = groups.try_emplace(track.group, next);
    const int id = group->second;
    if (is_new) {
      WriteMetadata(json, "process_name", id, kNoTrack, "name", track.group);
    }
    WriteMetadata(json, "thread_name", id, i, "name", track.name);
    WriteMetadata(json, "thread_sort_index", id, i, "sort_index", i);
  }
  const double us = 1e6 / clock_hz;  // for one cycle
  for (const Event& event : events_) {
    json.BeginObject();
    json.Member("ph", "X");
    json.Member("name", event.name);
    json.Member("pid", groups.at(tracks_[event.track].group));
    json.Member("tid", event.track);
    json.Member("ts", event.begin * us);
    json.Member("dur", (event.end - event.begin) * us);
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  return json.Text();
}

}  // namespace jax_npu::sim
