#include "aie/sim/report/trace.h"

#include <algorithm>
#include <map>

#include "aie/json.h"

namespace jax_npu::sim {
namespace {

constexpr int kNoTrack = -1;
constexpr int kDdrGroup = 1000;  // the process of DDR's counters, after those of tracks
constexpr int kRatePoints = 500;  // of DDR's rate over the whole trace

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

void WriteDetails(JsonWriter& json, const Trace::Details& details) {
  json.Key("args");
  json.BeginObject();
  if (details.bytes > 0) json.Member("bytes", details.bytes);
  if (details.bd >= 0) json.Member("bd", details.bd);
  if (details.argument >= 0) json.Member("argument", details.argument);
  if (details.step >= 0) json.Member("step", details.step);
  if (details.word >= 0) json.Member("word", details.word);
  if (details.lock != nullptr) {
    json.Member("lock", details.lock);
    json.Member("value", details.lock_value);
    json.Member("wanted", details.lock_wanted);
  }
  json.EndObject();
}

void WriteCounter(JsonWriter& json, const std::string& name, int group, double us,
                  const char* unit, double value) {
  json.BeginObject();
  json.Member("ph", "C");
  json.Member("name", name);
  json.Member("pid", group);
  json.Member("ts", us);
  json.Key("args");
  json.BeginObject();
  json.Member(unit, value);
  json.EndObject();
  json.EndObject();
}

// One end of an arrow: it belongs to the slice of its track at that time.
void WriteFlowEnd(JsonWriter& json, const char* phase, const char* kind, int id,
                  int group, int track, double us) {
  json.BeginObject();
  json.Member("ph", phase);
  json.Member("cat", kind);
  json.Member("name", kind);
  json.Member("id", id);
  json.Member("pid", group);
  json.Member("tid", track);
  json.Member("ts", us);
  if (*phase == 'f') json.Member("bp", "e");
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
  const auto group_of = [&](int track) { return groups.at(tracks_[track].group); };
  const double us = 1e6 / clock_hz;  // for one cycle
  for (const Event& event : events_) {
    json.BeginObject();
    json.Member("ph", "X");
    json.Member("name", event.name);
    json.Member("pid", group_of(event.track));
    json.Member("tid", event.track);
    json.Member("ts", event.begin * us);
    json.Member("dur", (event.end - event.begin) * us);
    WriteDetails(json, event.details);
    json.EndObject();
  }
  for (const Depth& depth : depths_) {
    WriteCounter(json, tracks_[depth.track].name + " queue", group_of(depth.track),
                 depth.at * us, "tasks", static_cast<double>(depth.tasks));
  }
  int id = 0;
  for (const Flow& flow : flows_) {
    WriteFlowEnd(json, "s", flow.kind, ++id, group_of(flow.from), flow.from,
                 flow.at * us);
    WriteFlowEnd(json, "f", flow.kind, id, group_of(flow.to), flow.to, flow.at * us);
  }
  WriteDdrRates(json, clock_hz);
  json.EndArray();
  json.EndObject();
  return json.Text();
}

// DDR's rate in each of a fixed number of equal times.
void Trace::WriteDdrRates(JsonWriter& json, double clock_hz) const {
  Cycles end = 0;
  for (const Event& event : events_) end = std::max(end, event.end);
  if (end == 0) return;
  WriteMetadata(json, "process_name", kDdrGroup, kNoTrack, "name", "DDR");
  const double width = static_cast<double>(end) / kRatePoints;  // cycles
  std::vector<double> bytes[2] = {std::vector<double>(kRatePoints),
                                  std::vector<double>(kRatePoints)};
  for (const DdrMove& move : ddr_) {
    const double rate =
        static_cast<double>(move.bytes) / static_cast<double>(move.end - move.begin);
    const int first = static_cast<int>(move.begin / width);
    const int last = std::min(static_cast<int>(move.end / width), kRatePoints - 1);
    for (int i = first; i <= last; ++i) {
      const double from = std::max<double>(move.begin, i * width);
      const double to = std::min<double>(move.end, (i + 1) * width);
      bytes[move.is_read][i] += rate * std::max(0.0, to - from);
    }
  }
  const char* const names[] = {"DDR write", "DDR read"};
  for (const int is_read : {1, 0}) {
    for (int i = 0; i < kRatePoints; ++i) {
      WriteCounter(json, names[is_read], kDdrGroup, i * width * 1e6 / clock_hz, "GB/s",
                   bytes[is_read][i] / width * clock_hz / 1e9);
    }
  }
}

}  // namespace jax_npu::sim
