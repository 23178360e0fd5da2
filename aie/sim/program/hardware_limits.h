// Limits, addresses and times of a device, read once from its configuration.
//
// aie/xdna/devices.py and aie/xdna/timing.py hold the numbers and their sources.

#ifndef JAX_NPU_AIE_SIM_PROGRAM_HARDWARE_LIMITS_H_
#define JAX_NPU_AIE_SIM_PROGRAM_HARDWARE_LIMITS_H_

#include <cstdint>
#include <string>

#include "aie/sim/program/configuration.h"

namespace jax_npu::sim {

struct TileLimits {
  TileLimits(const Configuration& from, const std::string& kind);

  int64_t memory_bytes;
  int num_locks;
  uint32_t lock_address;
  int num_channels[2];  // by direction
  int num_bds, bd_words;
  bool parity;  // even channels use the lower half of the BDs, odd ones the upper
  uint32_t bd_address;
  uint32_t control[2];  // channel 0's address, by direction
};

struct Limits {
  explicit Limits(const Configuration& from);

  TileLimits shim, memtile, core;
  int num_columns, num_rows, generation;
  bool has_memtile_west;  // of the first column, outside of the partition
  unsigned burst_code, axcache, max_arguments, controller_bits;
  size_t queue_depth;
  int max_lock_value;
  uint32_t bd_stride_bytes, lock_stride_bytes;
};

// Times in cycles of the array's clock, unless the name has a unit.
struct Times {
  explicit Times(const Configuration& from);

  double clock_hz;
  double cycles_per_word, shim_cycles_per_word[2];  // by direction
  int64_t shim_first_task[2], shim_task[2];
  int64_t bd_setup, channel_start, bd_chain;
  int64_t lock, memtile_release, hop;
  int64_t write, lock_write, maskwrite, blockwrite;
  double blockwrite_word;
  int64_t patch, sync, first_sync, launch, chained_launch;
  double launch_seconds;
  double ddr_cycles_per_byte;
  bool ddr_directions_shared;
  int64_t run_cycles, partial_line_cycles;
  int64_t core_instruction, kernel_call;
  double run_limit_seconds;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_PROGRAM_HARDWARE_LIMITS_H_
