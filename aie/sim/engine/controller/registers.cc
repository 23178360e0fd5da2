#include "aie/sim/engine/controller/registers.h"

#include <algorithm>

#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {

// Offsets below a base wrap around to large numbers, which no comparison accepts.
bool IsInLocks(const Limits& limits, const TileLimits& tile, uint32_t offset) {
  return offset - tile.lock_address <
         limits.lock_stride_bytes * static_cast<uint32_t>(tile.num_locks);
}

namespace {

// Offsets [begin, end) of registers that only observe: of performance counters, of the
// block of timer, events, their broadcast and groups, and trace, and of those that
// choose what raises events. From AMD's register reference AM025 and its list in XRT
// (xdp/profile/plugin/aie_debug/generations/aie2_registers.h): Performance_Control0 to
// the last counter's event value, Timer_Control to the last event group,
// Stream_Switch_Event_Port_Selection_*, Locks_Event_Selection_*,
// DMA_Event_Channel_Selection and PC_Event*.
struct Range {
  uint32_t begin, end;
};
constexpr Range kCoreObservers[] = {
    {0x31500, 0x31590}, {0x34000, 0x34524}, {0x3FF00, 0x3FF08}, {0x32020, 0x32030},
    {0x11000, 0x11088}, {0x14000, 0x14524}, {0x1F100, 0x1F120},  // memory module
};
constexpr Range kMemtileObservers[] = {
    {0x91000, 0x91090}, {0x94000, 0x94524}, {0xB0F00, 0xB0F08},
    {0xC0400, 0xC0420}, {0xA06A0, 0xA06A4},
};
constexpr Range kShimObservers[] = {
    {0x31000, 0x31088},
    {0x34000, 0x34518},
    {0x3FF00, 0x3FF08},
    {0x14100, 0x14118},
};

bool IsObserver(const Limits& limits, const TileLimits& tile, uint32_t offset) {
  const auto includes = [offset](const Range& range) {
    return range.begin <= offset && offset < range.end;
  };
  if (&tile == &limits.shim) return std::ranges::any_of(kShimObservers, includes);
  if (&tile == &limits.memtile) return std::ranges::any_of(kMemtileObservers, includes);
  return std::ranges::any_of(kCoreObservers, includes);
}

}  // namespace

Register RegisterAt(const Limits& limits, const TileLimits& tile, uint32_t offset) {
  if (offset < tile.memory_bytes) return {Register::kData};

  const uint32_t in_locks = offset - tile.lock_address;
  if (IsInLocks(limits, tile, offset) && in_locks % limits.lock_stride_bytes == 0) {
    return {Register::kLock, in_locks / limits.lock_stride_bytes};
  }
  const uint32_t in_bds = offset - tile.bd_address;
  const uint32_t bd = in_bds / limits.bd_stride_bytes;
  const uint32_t word = in_bds % limits.bd_stride_bytes / kWordBytes;
  if (bd < static_cast<uint32_t>(tile.num_bds) &&
      word < static_cast<uint32_t>(tile.bd_words)) {
    return {Register::kBdWord, bd, word};
  }
  for (const Direction direction : {kS2mm, kMm2s}) {
    const uint32_t in_channels = offset - tile.control[direction];
    const uint32_t channel = in_channels / kChannelStrideBytes;
    if (channel >= static_cast<uint32_t>(tile.num_channels[direction])) continue;
    const bool is_queue = in_channels % kChannelStrideBytes == kQueueOffsetBytes;
    return {is_queue ? Register::kTaskQueue : Register::kControl, channel, 0,
            direction};
  }
  if (IsObserver(limits, tile, offset)) return {Register::kObserver};
  return {};
}

std::string Hex(uint32_t value) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (; value != 0 || text.empty(); value >>= 4) {
    text.insert(0, 1, kDigits[value & 15]);
  }
  return "0x" + text;
}

}  // namespace jax_npu::sim
