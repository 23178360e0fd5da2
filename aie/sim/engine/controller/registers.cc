#include "aie/sim/engine/controller/registers.h"

#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {

// Offsets below a base wrap around to large numbers, which no comparison accepts.
bool IsInLocks(const Limits& limits, const TileLimits& tile, uint32_t offset) {
  return offset - tile.lock_address <
         limits.lock_stride_bytes * static_cast<uint32_t>(tile.num_locks);
}

namespace {

// Performance counters, and the block of timer, events, their broadcast and groups, and
// trace: the modules of AM025 with these names, from Performance_Control0 to the last
// counter's event value, and from Timer_Control to the last event group.
struct Observers {
  uint32_t counters, counters_end, events, events_end;

  bool Include(uint32_t offset) const {
    return (counters <= offset && offset < counters_end) ||
           (events <= offset && offset < events_end);
  }
};
constexpr Observers kCoreModule = {0x31500, 0x315A0, 0x34000, 0x34530};
constexpr Observers kMemoryModule = {0x11000, 0x110A0, 0x14000, 0x14530};
constexpr Observers kMemtileModule = {0x91000, 0x910A0, 0x94000, 0x94530};
constexpr Observers kShimModule = {0x31000, 0x310A0, 0x34000, 0x34530};

bool IsObserver(const Limits& limits, const TileLimits& tile, uint32_t offset) {
  if (&tile == &limits.shim) return kShimModule.Include(offset);
  if (&tile == &limits.memtile) return kMemtileModule.Include(offset);
  return kCoreModule.Include(offset) || kMemoryModule.Include(offset);
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
