#include "aie/sim/program/hardware_limits.h"

#include <cmath>

namespace jax_npu::sim {
namespace {

// Parameters by name, each converted to the type of the variable that it is read into.
struct Reader {
  const Configuration& from;
  std::string prefix;

  struct Number {
    double value;
    template <typename T>
    operator T() const {
      if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
        return static_cast<T>(std::llround(value));
      } else {
        return static_cast<T>(value);
      }
    }
  };

  Number operator[](const std::string& name) const {
    return {from.Parameter(prefix + name)};
  }
};

}  // namespace

TileLimits::TileLimits(const Configuration& from, const std::string& kind) {
  const Reader read = {from, kind + "."};
  memory_bytes = read["memory_bytes"];
  num_locks = read["num_locks"];
  lock_address = read["lock_address"];
  num_channels[kS2mm] = read["num_s2mm"];
  num_channels[kMm2s] = read["num_mm2s"];
  num_bds = read["num_bds"];
  bd_words = read["bd_words"];
  parity = read["parity"];
  bd_address = read["bd_address"];
  control[kS2mm] = read["s2mm_control"];
  control[kMm2s] = read["mm2s_control"];
}

Limits::Limits(const Configuration& from)
    : shim(from, "shim"), memtile(from, "memtile"), core(from, "core") {
  const Reader read = {from, ""};
  num_columns = read["num_columns"];
  num_rows = read["num_rows"];
  generation = read["generation"];
  has_memtile_west = read["has_memtile_west"];
  burst_code = read["burst_code"];
  axcache = read["axcache"];
  max_arguments = read["max_buffer_arguments"];
  controller_bits = read["controller_bits"];
  queue_depth = read["queue_depth"];
  max_lock_value = read["max_lock_value"];
  bd_stride_bytes = read["bd_stride_bytes"];
  lock_stride_bytes = read["lock_stride_bytes"];
}

Times::Times(const Configuration& from) {
  const Reader read = {from, "time."};
  clock_hz = read["clock_hz"];
  cycles_per_word = read["cycles_per_word"];
  shim_cycles_per_word[kS2mm] = read["shim_s2mm_cycles_per_word"];
  shim_cycles_per_word[kMm2s] = read["shim_mm2s_cycles_per_word"];
  shim_first_task[kS2mm] = read["shim_s2mm_first_task"];
  shim_first_task[kMm2s] = read["shim_mm2s_first_task"];
  shim_task[kS2mm] = read["shim_s2mm_task"];
  shim_task[kMm2s] = read["shim_mm2s_task"];
  bd_setup = read["bd_setup"];
  channel_start = read["channel_start"];
  bd_chain = read["bd_chain"];
  lock = read["lock"];
  memtile_release = read["memtile_release"];
  hop = read["hop"];
  write = read["write"];
  lock_write = read["lock_write"];
  maskwrite = read["maskwrite"];
  blockwrite = read["blockwrite"];
  blockwrite_word = read["blockwrite_word"];
  patch = read["patch"];
  sync = read["sync"];
  first_sync = read["first_sync"];
  launch = read["launch"];
  chained_launch = read["chained_launch"];
  launch_seconds = read["launch_seconds"];
  ddr_cycles_per_byte = clock_hz / double{read["ddr_bytes_per_second"]};
  ddr_directions_shared = read["ddr_directions_shared"];
  run_cycles = read["run_cycles"];
  partial_line_cycles = read["partial_line_cycles"];
  core_instruction = read["core_instruction"];
  kernel_call = read["kernel_call"];
  run_limit_seconds = read["run_limit_seconds"];
}

}  // namespace jax_npu::sim
