// The registers of a tile that an instruction stream may write, and their fields.
//
// Names and bits are those of AMD's register reference AM025: DMA_BD*, DMA_*_CTRL and
// DMA_*_TASK_QUEUE of the NoC module, which is the shim. Their addresses differ between
// kinds of tiles and come from the configuration (Limits).

#ifndef JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_REGISTERS_H_
#define JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_REGISTERS_H_

#include <cstdint>
#include <string>

#include "aie/sim/program/configuration.h"
#include "aie/sim/program/hardware_limits.h"

namespace jax_npu::sim {

constexpr uint32_t kAllBits = 0xFFFFFFFF;

// `count` bits of a word, the lowest of which is bit `low`.
struct Field {
  int low, count;

  constexpr uint32_t Of(uint32_t word) const {
    return word >> low & ((uint32_t{1} << count) - 1);
  }
  constexpr int SignedOf(uint32_t word) const {
    return static_cast<int32_t>(word << (32 - low - count)) >> (32 - count);
  }
  constexpr uint32_t Mask() const { return ((uint32_t{1} << count) - 1) << low; }
};

// An address as the controller sees it: a byte offset within a tile.
constexpr Field kTileOffset = {0, 20}, kTileRow = {20, 5}, kTileColumn = {25, 7};

// DMA_BDx_0 to DMA_BDx_7. Word 0 is the length in words and words 1 and 2 hold the
// address in DDR. Steps and the iteration's wrap are stored less 1.
constexpr uint32_t kShimBdWords = 8;
constexpr uint32_t kAllShimBdWords = (1u << kShimBdWords) - 1;  // a bit for each
constexpr uint32_t kAddressLowWord = 1, kAddressHighWord = 2;
constexpr Field kEnablePacket = {30, 1};                                // of word 2
constexpr Field kD0Wrap = {20, 10}, kD0Step = {0, 20};                  // of word 3
constexpr Field kBurstLength = {30, 2};                                 // of word 4
constexpr Field kD1Wrap = {20, 10}, kD1Step = {0, 20};                  // of word 4
constexpr Field kAxCache = {24, 4}, kD2Step = {0, 20};                  // of word 5
constexpr Field kIterationCurrent = {26, 6}, kIterationWrap = {20, 6};  // of word 6
constexpr Field kIterationStep = {0, 20};                               // of word 6
constexpr Field kNextBd = {27, 4}, kUseNextBd = {26, 1};                // of word 7
constexpr Field kValidBd = {25, 1};                                     // of word 7
constexpr Field kLockRelValue = {18, 7}, kLockRelId = {13, 4};          // of word 7
constexpr Field kLockAcqEnable = {12, 1};                               // of word 7
constexpr Field kLockAcqValue = {5, 7}, kLockAcqId = {0, 4};            // of word 7

// DMA_S2MM_x_TASK_QUEUE and DMA_MM2S_x_TASK_QUEUE. The count is stored less 1.
constexpr Field kStartBd = {0, 4}, kRepeatCount = {16, 8}, kEnableToken = {31, 1};
constexpr uint32_t kTaskQueueBits =
    kStartBd.Mask() | kRepeatCount.Mask() | kEnableToken.Mask();

// From a channel's DMA_*_CTRL to its task queue, and to the next channel's control.
constexpr uint32_t kQueueOffsetBytes = 4, kChannelStrideBytes = 8;

// What lies at an offset of a tile.
struct Register {
  enum Kind { kNone, kData, kLock, kBdWord, kControl, kTaskQueue };
  Kind kind = kNone;
  uint32_t number = 0;  // of the lock, BD or channel
  uint32_t word = 0;    // of the BD
  Direction direction = kS2mm;
};

// The register at a byte offset, a multiple of 4, of a tile with these limits.
Register RegisterAt(const Limits& limits, const TileLimits& tile, uint32_t offset);

// Whether the offset lies anywhere in the block of the tile's locks.
bool IsInLocks(const Limits& limits, const TileLimits& tile, uint32_t offset);

std::string Hex(uint32_t value);  // as messages print addresses and words

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_REGISTERS_H_
