// The controller: one function an operation of the instruction stream.
#include <cmath>

#include "aie/sim/engine/array.h"

namespace jax_npu::sim {
namespace {

constexpr size_t kHeaderWords = 4;
constexpr uint32_t kVersion = 0x0100;  // minor 1, major 0
constexpr uint32_t kAllBits = 0xFFFFFFFF;
constexpr uint32_t kMaxBdWords = 8;
constexpr uint32_t kQueueBits = 0x80FF000F;  // token, repeats, BD

enum Opcode : uint32_t {
  kWrite = 0x00,
  kBlockWrite = 0x01,
  kMaskWrite = 0x03,
  kPreempt = 0x06,
  kLoadPdi = 0x08,
  kSync = 0x80,
  kDdrPatch = 0x81,
};

std::string Hex(uint32_t value) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (; value != 0 || text.empty(); value >>= 4)
    text.insert(0, 1, kDigits[value & 15]);
  return "0x" + text;
}

uint32_t Bits(uint32_t value, int low, int count) {
  return value >> low & ((uint32_t{1} << count) - 1);
}

int SignedBits(uint32_t value, int low, int count) {
  return static_cast<int32_t>(value << (32 - low - count)) >> (32 - count);
}

const char* NameOf(uint32_t opcode) {
  switch (opcode) {
    case kWrite:
      return "WRITE";
    case kMaskWrite:
      return "MASKWRITE";
    case kBlockWrite:
      return "BLOCKWRITE";
    case kDdrPatch:
      return "DDR_PATCH";
    case kSync:
      return "SYNC";
    default:
      return "PREEMPT";
  }
}

}  // namespace

void Controller::Fail(const std::string& what) const {
  array.Fail("word " + std::to_string(word) + ": " + what);
}

uint32_t Controller::Word(size_t offset) const {
  if (word + offset >= num_words_) {
    Fail("the stream of " + std::to_string(num_words_) +
         " words ends within an operation");
  }
  return words_[word + offset];
}

void Controller::Start(const uint32_t* words, size_t num_words) {
  words_ = words;
  num_words_ = num_words;
  word = 0;
  num_executed_ = 0;
  is_done = synced_before_ = false;
  Stop();
  start_time = array.scheduler.now();
  CheckHeader();
  array.run.instruction_words = num_words;
  StartWait(Wait::kLatency, "launch");
  array.scheduler.In(array.times.launch, [this] {
    word = kHeaderWords;
    Next();
  });
}

void Controller::CheckHeader() {
  const uint32_t version = Word(0), size = Word(1);
  const auto generation = static_cast<int>(Bits(version, 16, 8));
  if (Bits(version, 0, 16) != kVersion) {
    Fail("version must be 0.1, got " + Hex(Bits(version, 0, 16)));
  }
  if (generation != array.limits.generation ||
      static_cast<int>(version >> 24) != array.limits.num_rows ||
      static_cast<int>(Bits(size, 0, 8)) != array.limits.num_columns) {
    Fail("the stream is for a device of generation " + std::to_string(generation) +
         " with " + std::to_string(Bits(size, 0, 8)) + " columns and " +
         std::to_string(version >> 24) + " rows, not for " +
         array.configuration.device);
  }
  if (Word(3) != 4 * num_words_) {
    word = 3;
    Fail("the header counts " + std::to_string(words_[3]) + " bytes, the stream has " +
         std::to_string(4 * num_words_));
  }
}

void Controller::Next() {
  ++array.progress;
  if (word == num_words_) {
    if (num_executed_ != words_[2]) {
      Fail("the header counts " + std::to_string(words_[2]) +
           " operations, the stream has " + std::to_string(num_executed_));
    }
    CheckEnd();
    Stop();
    is_done = true;
    return;
  }
  ++num_executed_;
  const Times& times = array.times;
  switch (const uint32_t opcode = Bits(Word(0), 0, 8)) {
    case kWrite:
      Word(5);
      Finish(6, WriteCycles(Word(2)), [this] { Write(Word(2), Word(4), kAllBits); });
      break;
    case kMaskWrite:
      Word(6);
      Finish(7, times.maskwrite, [this] { Write(Word(2), Word(4), Word(5)); });
      break;
    case kBlockWrite: {
      const uint32_t bytes = Word(3);
      if (bytes % 4 != 0 || bytes <= 16) {
        Fail("BLOCKWRITE counts " + std::to_string(bytes) + " bytes");
      }
      const size_t count = bytes / 4 - 4;
      Word(3 + count);
      const double cycles = times.blockwrite + times.blockwrite_word * count;
      Finish(4 + count, std::llround(cycles), [this, count] {
        for (size_t i = 0; i < count; ++i) {
          Write(BlockAddress() + 4 * i, Word(4 + i), kAllBits);
        }
      });
      break;
    }
    case kDdrPatch:
      Word(11);
      Finish(12, times.patch, [this] { Patch(); });
      break;
    case kSync:
      Sync();
      break;
    case kPreempt:
      Finish(1, times.sync, [] {});
      break;
    case kLoadPdi:
      Fail("LOADPDI: the virtual NPU takes its configuration from the xclbin alone");
    default:
      Fail("opcode " + Hex(opcode) + " is not known");
  }
}

uint32_t Controller::BlockAddress() const {
  const uint32_t tile = Word(1), address = Word(2);
  if (tile == 0) return address;
  return Bits(tile, 0, 8) << 25 | tile >> 8 << 20 | (address & 0xFFFFF);
}

Cycles Controller::WriteCycles(uint32_t address) const {
  const Tile& tile = TileOf(address);
  const uint32_t offset = address & 0xFFFFF;
  const bool is_lock =
      offset - tile.limits->lock_address <
      array.limits.lock_stride_bytes * static_cast<uint32_t>(tile.limits->num_locks);
  return is_lock ? array.times.lock_write : array.times.write;
}

void Controller::Finish(size_t num_words, Cycles cycles, std::function<void()> effect) {
  StartWork(NameOf(words_[word] & 0xFF));
  array.scheduler.In(cycles, [this, num_words, effect = std::move(effect)] {
    effect();
    word += num_words;
    Next();
  });
}

void Controller::Sync() {
  const uint32_t tile = Word(2), range = Word(3);
  awaited = {
      Bits(tile, 0, 8) == 0 ? kS2mm : kMm2s, static_cast<int>(Bits(tile, 16, 8)),
      static_cast<int>(Bits(tile, 8, 8)),    static_cast<int>(Bits(range, 16, 8)),
      static_cast<int>(Bits(range, 8, 8)),   static_cast<int>(range >> 24)};
  const Awaited& a = awaited;
  if (a.num_columns < 1 || a.num_rows < 1 ||
      a.column + a.num_columns > array.limits.num_columns ||
      a.row + a.num_rows > array.limits.num_rows ||
      a.channel >= array.At({a.column, a.row}).limits->num_channels[a.direction]) {
    Fail("SYNC awaits tokens of channels that " + array.configuration.device +
         " does not have");
  }
  if (a.row != 0 || a.num_rows != 1) Fail("SYNC: only shims send tokens");
  Cycles cycles = array.times.sync;
  if (!synced_before_) cycles += array.times.first_sync;
  synced_before_ = true;
  StartWork("SYNC");
  array.scheduler.In(cycles, [this] {
    StartWait(Wait::kToken, "token");
    TokenSent();
  });
}

void Controller::TokenSent() {
  if (waiting != Wait::kToken || !TakeTokens()) return;
  word += 4;
  Next();
}

bool Controller::TakeTokens() {
  std::vector<Channel*> channels;
  for (int i = 0; i < awaited.num_columns; ++i) {
    Tile& tile = array.At({awaited.column + i, awaited.row});
    channels.push_back(tile.channels[awaited.direction][awaited.channel].get());
    if (channels.back()->tokens.empty()) return false;
  }
  for (Channel* channel : channels) {
    const size_t token = channel->tokens.front();
    channel->tokens.pop_front();
    while (channel->pushed[channel->num_proven++].word != token) continue;
  }
  return true;
}

void Controller::CheckEnd() const {
  for (const Tile& tile : array.tiles) {
    if (tile.limits != &array.limits.shim) continue;
    for (const Direction direction : {kS2mm, kMm2s}) {
      for (const auto& channel : tile.channels[direction]) {
        const auto where = [&](const Task& task) {
          return channel->Name() + " BD " + std::to_string(task.bd) +
                 ", pushed at word " + std::to_string(task.word) + ", ";
        };
        if (direction == kS2mm && channel->num_proven < channel->pushed.size()) {
          Fail("the stream ends, but the output of " +
               where(channel->pushed[channel->num_proven]) + "was never synced");
        }
        if (!channel->queue.empty()) {
          Fail("the stream ends, but " + where(channel->queue.front()) +
               "is still in flight");
        }
        if (!channel->tokens.empty()) {
          Fail("the stream ends, but a token of " + channel->Name() +
               ", pushed at word " + std::to_string(channel->tokens.front()) +
               ", was never awaited");
        }
      }
    }
  }
}

Tile& Controller::TileOf(uint32_t address) const {
  const int column = static_cast<int>(address >> 25);
  const int row = static_cast<int>(Bits(address, 20, 5));
  if (column >= array.limits.num_columns || row >= array.limits.num_rows) {
    Fail("address " + Hex(address) + " is of tile (" + std::to_string(column) + ", " +
         std::to_string(row) + "), which " + array.configuration.device +
         " does not have");
  }
  return array.At({column, row});
}

void Controller::Write(uint32_t address, uint32_t value, uint32_t mask) {
  Tile& tile = TileOf(address);
  const Limits& limits = array.limits;
  const uint32_t offset = address & 0xFFFFF;
  const bool is_shim = tile.limits == &limits.shim;
  if (offset % 4 != 0) Fail("address " + Hex(address) + " is no multiple of 4");
  if (tile.limits == &limits.core && offset < tile.limits->memory_bytes) {
    if (const auto* other =
            tile.memory->Conflict({offset, offset + 4, true, this, {}})) {
      Fail("writes byte " + std::to_string(offset) + " of " + tile.Name() + " while " +
           other->by->Name() + (other->writes ? " writes" : " reads") + " it");
    }
    uint32_t& word = tile.memory->words()[offset / 4];
    word = (word & ~mask) | (value & mask);
    tile.memory->MarkWritten(offset, offset + 4);
    return;
  }
  const uint32_t lock = (offset - tile.limits->lock_address) / limits.lock_stride_bytes;
  if (offset >= tile.limits->lock_address &&
      lock < static_cast<uint32_t>(tile.limits->num_locks) &&
      (offset - tile.limits->lock_address) % limits.lock_stride_bytes == 0) {
    Lock& written = tile.locks[lock];
    if (mask != kAllBits || value > static_cast<uint32_t>(limits.max_lock_value)) {
      Fail(written.Name() + " is set to " +
           std::to_string(static_cast<int32_t>(value)) + ": a lock holds 0 to " +
           std::to_string(limits.max_lock_value));
    }
    array.SetLock(written, static_cast<int>(value));
    return;
  }
  const uint32_t bd = (offset - limits.shim.bd_address) / limits.bd_stride_bytes;
  const uint32_t bd_word =
      (offset - limits.shim.bd_address) % limits.bd_stride_bytes / 4;
  if (is_shim && offset >= limits.shim.bd_address &&
      bd < static_cast<uint32_t>(limits.shim.num_bds) && bd_word < kMaxBdWords) {
    WriteBd(tile, bd, bd_word, value, mask);
    return;
  }
  for (const Direction direction : {kS2mm, kMm2s}) {
    for (const auto& channel : tile.channels[direction]) {
      const uint32_t control = tile.limits->control[direction] + 8 * channel->number;
      if (!is_shim || (offset != control && offset != control + 4)) continue;
      if (offset == control + 4) {
        if (mask != kAllBits || (value & ~kQueueBits) != 0) {
          Fail(channel->Name() + " is pushed " + Hex(value) + ", which is no task");
        }
        WriteQueue(*channel, value);
      } else if (mask != limits.controller_bits) {
        Fail("of " + channel->Name() +
             " control only the controller id may be set, by " + "a mask of " +
             Hex(limits.controller_bits) + ", got " + Hex(mask));
      } else {
        channel->sends_tokens = (value & mask) != 0;
      }
      return;
    }
  }
  Fail("register " + Hex(offset) + " of " + tile.Name() +
       " cannot be written by a stream");
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

void Controller::WriteBd(Tile& tile, int id, int bd_word, uint32_t value,
                         uint32_t mask) {
  CheckIdle(tile, id);
  Bd& bd = tile.bds[id];
  bd.words.resize(kMaxBdWords);
  bd.words[bd_word] = (bd.words[bd_word] & ~mask) | (value & mask);
  bd.written |= 1u << bd_word;
  bd.is_defined = false;
  if (bd_word == 1 || bd_word == 2) bd.is_patched = false;
}

void Controller::Patch() {
  const uint32_t address = Word(6), argument = Word(8), offset = Word(10);
  Tile& tile = TileOf(address);
  const Limits& limits = array.limits;
  const uint32_t first = (address & 0xFFFFF) - limits.shim.bd_address - 4;
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
  bd.words.resize(kMaxBdWords);
  bd.written |= 1u << 1 | 1u << 2;
  bd.is_patched = true;
  bd.argument = argument;
  bd.address = offset;
}

void Controller::WriteQueue(Channel& channel, uint32_t value) {
  const int id = static_cast<int>(Bits(value, 0, 4));
  const Task task = {id, static_cast<int>(Bits(value, 16, 8)) + 1, value >> 31 != 0,
                     word};
  Tile& tile = channel.tile;
  const std::string where = channel.Name() + " BD " + std::to_string(id);
  for (int next = id, i = 0; next >= 0; next = tile.bds[next].next) {
    DecodeBd(tile, next, channel.Name() + " BD " + std::to_string(next));
    if (++i > tile.limits->num_bds) break;  // an endless chain
  }
  if (task.token && !channel.sends_tokens) {
    Fail(where + " is asked for a token, but no controller id was set");
  }
  channel.pushed.push_back(task);
  channel.Push(task);
}

// From the words of AM025's DMA_BD registers of the NoC module to fields.
void Controller::DecodeBd(Tile& tile, int id, const std::string& where) const {
  Bd& bd = tile.bds[id];
  if (bd.written != 0xFF) Fail(where + " is pushed, but was not written whole");
  if (!bd.is_patched) Fail(where + " is pushed, but its address was never patched");
  const auto& w = bd.words;
  if (Bits(w[7], 25, 1) == 0) Fail(where + " is pushed, but is not valid");
  if (Bits(w[2], 30, 1) != 0) Fail(where + " sends packets, which no route carries");
  if (Bits(w[5], 24, 4) != array.limits.axcache) {
    Fail(where + " must have an axcache of " + std::to_string(array.limits.axcache) +
         ", got " + std::to_string(Bits(w[5], 24, 4)));
  }
  if (Bits(w[4], 30, 2) > array.limits.burst_code) {
    Fail(where + " has a burst code of " + std::to_string(Bits(w[4], 30, 2)) + ", " +
         array.configuration.device + " has 0 to " +
         std::to_string(array.limits.burst_code));
  }
  // Once: how far the iterations are is the BD's own, from push to push.
  if (bd.is_defined) return;
  const int64_t length = w[0], d0 = Bits(w[3], 20, 10), d1 = Bits(w[4], 20, 10);
  if (length == 0) Fail(where + " has no length");
  if (d0 == 0 && d1 != 0) Fail(where + " wraps D1, but not D0");
  const int64_t inner = d0 == 0 ? length : d1 == 0 ? d0 : d0 * d1;
  if (length % inner != 0) {
    Fail(where + " ends within a run: " + std::to_string(length) +
         " words in runs of " + std::to_string(inner));
  }
  bd.is_defined = true;
  bd.length = length;
  bd.dimensions.clear();
  const int64_t steps[] = {Bits(w[5], 0, 20) + 1, Bits(w[4], 0, 20) + 1,
                           Bits(w[3], 0, 20) + 1};
  if (d0 != 0 && d1 != 0) {
    bd.dimensions = {{length / inner, steps[0]}, {d1, steps[1]}, {d0, steps[2]}};
  } else if (d0 != 0) {
    bd.dimensions = {{length / d0, steps[1]}, {d0, steps[2]}};
  } else {
    bd.dimensions = {{length, steps[2]}};
  }
  bd.iterations = static_cast<int>(Bits(w[6], 20, 6)) + 1;
  bd.iteration = static_cast<int>(Bits(w[6], 26, 6));
  bd.iteration_stride = Bits(w[6], 0, 20) + 1;
  bd.next = Bits(w[7], 26, 1) != 0 ? static_cast<int>(Bits(w[7], 27, 4)) : -1;
  // A negative value to acquire means "greater or equal".
  bd.acquire = nullptr;
  if (Bits(w[7], 12, 1) != 0) {
    const int value = SignedBits(w[7], 5, 7);
    if (value >= 0) {
      Fail(where + " acquires a lock by equality, whose effect is not settled; use " +
           "greater-or-equal");
    }
    bd.acquire = &tile.locks[Bits(w[7], 0, 4)];
    bd.acquire_value = -value;
  }
  bd.release_value = SignedBits(w[7], 18, 7);
  bd.release = bd.release_value == 0 ? nullptr : &tile.locks[Bits(w[7], 13, 4)];
}

}  // namespace jax_npu::sim
