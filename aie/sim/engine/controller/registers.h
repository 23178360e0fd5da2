// The registers of a tile that an instruction stream may write, and their fields.
//
// Names and bits are those of AMD's register reference AM025: DMA_BD*, DMA_*_CTRL and
// DMA_*_TASK_QUEUE of the NoC module, which is the shim. Their addresses differ between
// kinds of tiles and come from the configuration (Limits).

#ifndef JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_REGISTERS_H_
#define JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_REGISTERS_H_

#include <cstdint>
#include <string>
#include <vector>

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

// A field of a shim's BD: DMA_BDx_<word>.
struct BdField {
  uint32_t word;
  Field bits;

  uint32_t Of(const std::vector<uint32_t>& words) const { return bits.Of(words[word]); }
  int SignedOf(const std::vector<uint32_t>& words) const {
    return bits.SignedOf(words[word]);
  }
};

// Words 1 and 2 also hold the address, which DDR_PATCH sets. Steps and the iteration's
// wrap are stored less 1.
constexpr uint32_t kShimBdWords = 8;
constexpr uint32_t kAllShimBdWords = (1u << kShimBdWords) - 1;  // one bit for each
constexpr uint32_t kBufferLengthWord = 0;                       // in words
constexpr uint32_t kAddressLowWord = 1, kAddressHighWord = 2;
constexpr BdField kEnablePacket = {2, {30, 1}};
constexpr BdField kD0Wrap = {3, {20, 10}}, kD0Step = {3, {0, 20}};
constexpr BdField kBurstLength = {4, {30, 2}};
constexpr BdField kD1Wrap = {4, {20, 10}}, kD1Step = {4, {0, 20}};
constexpr BdField kAxCache = {5, {24, 4}}, kD2Step = {5, {0, 20}};
constexpr BdField kIterationCurrent = {6, {26, 6}}, kIterationWrap = {6, {20, 6}};
constexpr BdField kIterationStep = {6, {0, 20}};
constexpr BdField kNextBd = {7, {27, 4}}, kUseNextBd = {7, {26, 1}};
constexpr BdField kValidBd = {7, {25, 1}};
constexpr BdField kLockRelValue = {7, {18, 7}}, kLockRelId = {7, {13, 4}};
constexpr BdField kLockAcqEnable = {7, {12, 1}};
constexpr BdField kLockAcqValue = {7, {5, 7}}, kLockAcqId = {7, {0, 4}};

// DMA_S2MM_x_TASK_QUEUE and DMA_MM2S_x_TASK_QUEUE. The count is stored less 1.
constexpr Field kStartBd = {0, 4}, kRepeatCount = {16, 8}, kEnableToken = {31, 1};
constexpr uint32_t kTaskQueueBits =
    kStartBd.Mask() | kRepeatCount.Mask() | kEnableToken.Mask();

// Distances from a channel's DMA_*_CTRL to its task queue and to the next channel's
// control.
constexpr uint32_t kQueueOffsetBytes = 4, kChannelStrideBytes = 8;

// What lies at an offset of a tile.
struct Register {
  enum Kind { kNone, kData, kLock, kBdWord, kControl, kTaskQueue };
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
