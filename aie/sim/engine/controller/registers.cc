#include "aie/sim/engine/controller/registers.h"

#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {

// Offsets below a base wrap around to large numbers, which no comparison accepts.
bool IsInLocks(const Limits& limits, const TileLimits& tile, uint32_t offset) {
  return offset - tile.lock_address <
         limits.lock_stride_bytes * static_cast<uint32_t>(tile.num_locks);
}

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
