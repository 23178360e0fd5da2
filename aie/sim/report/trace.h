// A recording of what every agent did and when, in a format that Perfetto opens.

#ifndef JAX_NPU_AIE_SIM_REPORT_TRACE_H_
#define JAX_NPU_AIE_SIM_REPORT_TRACE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "aie/sim/report/cycles.h"

namespace jax_npu {
class JsonWriter;
}

namespace jax_npu::sim {

class Trace {
 public:
  // Tracks of one group stand together. Returns the track's number.
  int AddTrack(const std::string& group, const std::string& name);
  void Start() { is_on_ = true; }
  bool is_on() const { return is_on_; }

  // The arguments of an event; those that do not apply keep these values.
  struct Details {
    int64_t bytes = 0;           // moved
    int bd = -1;                 // of a channel
    int argument = -1;           // the run's buffer, where the memory is DDR
    int64_t step = -1;           // the core's calls of kernels before this one
    int64_t word = -1;           // of the stream
    const char* lock = nullptr;  // that is waited for, and must outlive the trace
    int lock_value = 0, lock_wanted = 0;
  };
  // `name` must outlive the trace.
  void Record(int track, const char* name, Cycles begin, Cycles end,
              const Details& details) {
    if (is_on_ && end > begin) events_.push_back({track, name, begin, end, details});
  }
  // An arrow from what one track does at a time to what another one does then.
  // `kind` must outlive the trace.
  void RecordFlow(const char* kind, int from, int to, Cycles at) {
    if (is_on_ && from != to) flows_.push_back({kind, from, to, at});
  }
  // Bytes that DDR moved evenly in a time.
  void RecordDdr(bool is_read, Cycles begin, Cycles end, int64_t bytes) {
    if (is_on_ && end > begin) ddr_.push_back({is_read, begin, end, bytes});
  }
  // The tasks in a channel's queue from now on.
  void RecordQueue(int track, Cycles at, size_t depth) {
    if (is_on_) depths_.push_back({track, at, static_cast<int64_t>(depth)});
  }
  std::string Json(double clock_hz) const;

 private:
  void WriteDdrRates(JsonWriter& json, double clock_hz) const;

  struct Track {
    std::string group, name;
  };
  struct Event {
    int track;
    const char* name;
    Cycles begin, end;
    Details details;
  };
  struct Flow {
    const char* kind;
    int from, to;
    Cycles at;
  };
  struct DdrMove {
    bool is_read;
    Cycles begin, end;
    int64_t bytes;
  };
  struct Depth {
    int track;
    Cycles at;
    int64_t tasks;
  };

  bool is_on_ = false;
  std::vector<Track> tracks_;
  std::vector<Event> events_;
  std::vector<Flow> flows_;
  std::vector<Depth> depths_;
  std::vector<DdrMove> ddr_;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_REPORT_TRACE_H_
