// The registers of a tile that an instruction stream may write, and their fields.
//
// Names and bits are those of AMD's register reference AM025: DMA_*_CTRL and
// DMA_*_TASK_QUEUE; `bd_layout.h` has DMA_BD*. Their addresses differ between kinds of
// tiles and come from the configuration (Limits).

#ifndef JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_REGISTERS_H_
#define JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_REGISTERS_H_

#include <cstdint>
#include <string>

#include "aie/sim/engine/controller/bd_layout.h"
#include "aie/sim/program/configuration.h"
#include "aie/sim/program/hardware_limits.h"

namespace jax_npu::sim {

constexpr uint32_t kAllBits = 0xFFFFFFFF;

// An address as the controller sees it: a byte offset within a tile.
constexpr Field kTileOffset = {0, 20}, kTileRow = {20, 5}, kTileColumn = {25, 7};

// DMA_S2MM_x_TASK_QUEUE and DMA_MM2S_x_TASK_QUEUE. The count is stored less 1. Only a
// memtile has more than 16 BDs, and 6 bits for their numbers.
constexpr Field kStartBd = {0, 6}, kRepeatCount = {16, 8}, kEnableToken = {31, 1};
constexpr uint32_t kTaskQueueBits =
    kStartBd.Mask() | kRepeatCount.Mask() | kEnableToken.Mask();

// DMA_S2MM_x_CTRL and DMA_MM2S_x_CTRL: the id of the controller that gets tokens.
constexpr Field kControllerId = {8, 8};

// Distances from a channel's DMA_*_CTRL to its task queue and to the next channel's
// control.
constexpr uint32_t kQueueOffsetBytes = 4, kChannelStrideBytes = 8;

// What lies at an offset of a tile.
struct Register {
  // kObserver: of events, timers, traces and performance counters.
  enum Kind { kNone, kData, kLock, kBdWord, kControl, kTaskQueue, kObserver };
  Kind kind = kNone;
  uint32_t number = 0;  // the lock's, BD's or channel's
  uint32_t word = 0;    // within the BD
  Direction direction = kS2mm;
};

// The register at a byte offset, a multiple of 4, of a tile with these limits.
Register RegisterAt(const Limits& limits, const TileLimits& tile, uint32_t offset);

// Whether the offset lies anywhere in the block of the tile's locks.
bool IsInLocks(const Limits& limits, const TileLimits& tile, uint32_t offset);

// The value as messages print it: "0x1d004".
std::string Hex(uint32_t value);

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_REGISTERS_H_
