// What an operation does to the registers of a tile: memory, locks, BDs and channels.
#include "aie/sim/engine/array.h"
#include "aie/sim/engine/controller/registers.h"
#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {

Tile& Controller::TileOf(uint32_t address) const {
  const int column = static_cast<int>(kTileColumn.Of(address));
  const int row = static_cast<int>(kTileRow.Of(address));
  if (column >= array.limits.num_columns || row >= array.limits.num_rows) {
    Fail("address " + Hex(address) + " is of tile (" + std::to_string(column) + ", " +
         std::to_string(row) + "), which " + array.configuration.device +
         " does not have");
  }
  return array.At({column, row});
}

// A BLOCKWRITE's word 1 is 0, or holds the column and row that its address lacks.
uint32_t Controller::BlockAddress() const {
  constexpr Field kColumn = {0, 8}, kRow = {8, 24};
  const uint32_t tile = Word(1), address = Word(2);
  if (tile == 0) return address;
  return kColumn.Of(tile) << kTileColumn.low | kRow.Of(tile) << kTileRow.low |
         kTileOffset.Of(address);
}

Cycles Controller::WriteCycles(uint32_t address) const {
  const Tile& tile = TileOf(address);
  const uint32_t offset = kTileOffset.Of(address);
  return IsInLocks(array.limits, *tile.limits, offset) ? array.times.lock_write
                                                       : array.times.write;
}

void Controller::Write(uint32_t address, uint32_t value, uint32_t mask) {
  Tile& tile = TileOf(address);
  const uint32_t offset = kTileOffset.Of(address);
  if (offset % 4 != 0) Fail("address " + Hex(address) + " is not a multiple of 4");
  const Register at = RegisterAt(array.limits, *tile.limits, offset);
  switch (at.kind) {
    case Register::kData:
      return WriteData(tile, offset, value, mask);
    case Register::kLock:
      return WriteLock(tile.locks[at.number], value, mask);
    case Register::kBdWord:
      return WriteBd(tile, static_cast<int>(at.number), at.word, value, mask);
    case Register::kControl:
      return WriteControl(*tile.channels[at.direction][at.number], value, mask);
    case Register::kTaskQueue:
      return WriteTaskQueue(*tile.channels[at.direction][at.number], value, mask);
    case Register::kObserver:
      ++num_observer_writes_;
      return;
    case Register::kNone:
      break;
  }
  Fail("register " + Hex(offset) + " of " + tile.Name() +
       " cannot be written by a stream");
}

void Controller::WriteFor(const std::string& by, uint32_t address,
                          const std::vector<uint32_t>& words) {
  by_ = by;
  for (size_t i = 0; i < words.size(); ++i) Write(address + 4 * i, words[i], kAllBits);
  by_.clear();
}

std::vector<uint32_t> Controller::ReadFor(const std::string& by, uint32_t address,
                                          int count) {
  by_ = by;
  std::vector<uint32_t> words;
  for (int i = 0; i < count; ++i) words.push_back(ReadWord(address + 4 * i));
  by_.clear();
  return words;
}

uint32_t Controller::ReadWord(uint32_t address) const {
  Tile& tile = TileOf(address);
  const uint32_t offset = kTileOffset.Of(address);
  if (offset % 4 != 0) Fail("address " + Hex(address) + " is not a multiple of 4");
  const Register at = RegisterAt(array.limits, *tile.limits, offset);
  if (at.kind == Register::kLock) return tile.locks[at.number].value;
  if (at.kind != Register::kData) {
    Fail("reads register " + Hex(offset) + " of " + tile.Name() +
         ": only data memory and locks can be read");
  }
  TileMemory& memory = *tile.memory;
  const std::string what =
      "reads byte " + std::to_string(offset) + " of " + tile.Name();
  if (memory.FirstUnwritten(offset, offset + 4) >= 0) {
    Fail(what + ", which nothing has written");
  }
  if (const auto* other = memory.Conflict({offset, offset + 4, false, this, {}})) {
    Fail(what + " while " + other->by->Name() + " writes it");
  }
  return memory.words()[offset / kWordBytes];
}

void Controller::WriteData(Tile& tile, uint32_t offset, uint32_t value, uint32_t mask) {
  TileMemory& memory = *tile.memory;
  if (const auto* other = memory.Conflict({offset, offset + 4, true, this, {}})) {
    Fail("writes byte " + std::to_string(offset) + " of " + tile.Name() + " while " +
         other->by->Name() + (other->writes ? " writes" : " reads") + " it");
  }
  uint32_t& written = memory.words()[offset / kWordBytes];
  written = (written & ~mask) | (value & mask);
  memory.MarkWritten(offset, offset + 4);
}

void Controller::WriteLock(Lock& written, uint32_t value, uint32_t mask) {
  const int limit = array.limits.max_lock_value;
  if (mask != kAllBits || value > static_cast<uint32_t>(limit)) {
    Fail(written.Name() + " is set to " + std::to_string(static_cast<int32_t>(value)) +
         ": a lock holds 0 to " + std::to_string(limit));
  }
  array.SetLock(written, static_cast<int>(value));
}

void Controller::CheckIdle(const Tile& tile, int id) const {
  for (const auto& channels : tile.channels) {
    for (const auto& channel : channels) {
      if (channel->Uses(id)) {
        Fail(tile.Name() + " BD " + std::to_string(id) + " is rewritten while " +
             channel->Name() + " still uses it");
      }
    }
  }
}

void Controller::WriteBd(Tile& tile, int id, uint32_t bd_word, uint32_t value,
                         uint32_t mask) {
  CheckIdle(tile, id);
  Bd& bd = tile.bds[id];
  bd.words.resize(tile.limits->bd_words);
  bd.words[bd_word] = (bd.words[bd_word] & ~mask) | (value & mask);
  bd.written |= 1u << bd_word;
  bd.is_defined = false;
  if (tile.limits == &array.limits.shim &&
      (bd_word == kAddressLowWord || bd_word == kAddressHighWord)) {
    bd.is_patched = false;
  }
}

void Controller::Patch() {
  const uint32_t address = Word(6), argument = Word(8), offset = Word(10);
  Tile& tile = TileOf(address);
  const Limits& limits = array.limits;
  // The address is that of the BD's word 1; `first` is that of its word 0, from BD 0
  // on.
  const uint32_t first =
      kTileOffset.Of(address) - limits.shim.bd_address - 4 * kAddressLowWord;
  const uint32_t id = first / limits.bd_stride_bytes;
  if (tile.limits != &limits.shim || first % limits.bd_stride_bytes != 0 ||
      id >= static_cast<uint32_t>(limits.shim.num_bds)) {
    Fail("DDR_PATCH must go to word 1 of a shim's BD, got " + Hex(address));
  }
  const std::string where = tile.Name() + " BD " + std::to_string(id);
  if (argument >= array.arguments.size()) {
    Fail(where + " is patched with argument " + std::to_string(argument) +
         ", the run has " + std::to_string(array.arguments.size()));
  }
  CheckIdle(tile, id);
  Bd& bd = tile.bds[id];
  bd.words.resize(tile.limits->bd_words);
  bd.written |= 1u << kAddressLowWord | 1u << kAddressHighWord;
  bd.is_patched = true;
  bd.argument = argument;
  bd.address = offset;
}

void Controller::WriteControl(Channel& channel, uint32_t value, uint32_t mask) {
  if ((value & mask & ~kControllerId.Mask()) != 0) {
    Fail("of " + channel.Name() + " control only the controller id may be set, bits " +
         Hex(kControllerId.Mask()) + ", got " + Hex(value & mask));
  }
  const uint32_t bits = array.limits.controller_bits & mask;
  if (bits != 0) channel.sends_tokens = (value & bits) != 0;
}

bool Controller::CanUse(const Channel& channel, int bd) const {
  const TileLimits& limits = *channel.tile.limits;
  if (bd >= limits.num_bds) return false;
  return !limits.parity || channel.number % 2 == (bd < limits.num_bds / 2 ? 0 : 1);
}

void Controller::WriteTaskQueue(Channel& channel, uint32_t value, uint32_t mask) {
  if (mask != kAllBits || (value & ~kTaskQueueBits) != 0) {
    Fail(channel.Name() + " is pushed " + Hex(value) + ", which is not a task");
  }
  const int id = static_cast<int>(kStartBd.Of(value));
  const int repeats = static_cast<int>(kRepeatCount.Of(value)) + 1;
  const Task task = {id, repeats, kEnableToken.Of(value) != 0, word};
  Tile& tile = channel.tile;
  if (!CanUse(channel, id)) {
    Fail(channel.Name() + " is pushed BD " + std::to_string(id) +
         ", which it cannot use" +
         (id < tile.limits->num_bds ? ": even channels have the lower half of the BDs, "
                                      "odd ones the upper half"
                                    : ""));
  }
  for (int next = id, i = 0; next >= 0; next = tile.bds[next].next) {
    DecodeBd(tile, next, channel.Name() + " BD " + std::to_string(next));
    if (++i > tile.limits->num_bds) break;  // an endless chain
  }
  // Only shims' tasks touch the host's buffers, so only they must be known to be done.
  if (tile.limits == &array.limits.shim) {
    channel.pushed.push_back(task);
  } else if (inner_task_.empty()) {
    inner_task_ = channel.Name() + " BD " + std::to_string(id);
  }
  channel.Push(task);
}

}  // namespace jax_npu::sim
