// A recording of what every agent did and when, in a format that Perfetto opens.

#ifndef JAX_NPU_AIE_SIM_REPORT_TRACE_H_
#define JAX_NPU_AIE_SIM_REPORT_TRACE_H_

#include <string>
#include <vector>

#include "aie/sim/report/cycles.h"

namespace jax_npu::sim {

class Trace {
 public:
  // Tracks of one group stand together. Returns the track's number.
  int AddTrack(const std::string& group, const std::string& name);
  void Start() { is_on_ = true; }
  bool is_on() const { return is_on_; }
  // `name` must outlive the trace.
  void Record(int track, const char* name, Cycles begin, Cycles end) {
    if (is_on_ && end > begin) events_.push_back({track, name, begin, end});
  }
  std::string Json(double clock_hz) const;

 private:
  struct Track {
    std::string group, name;
  };
  struct Event {
    int track;
    const char* name;
    Cycles begin, end;
  };

  bool is_on_ = false;
  std::vector<Track> tracks_;
  std::vector<Event> events_;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_REPORT_TRACE_H_
