// The words of the running BD: their memory, their order and their time.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "aie/sim/engine/array.h"
#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {
namespace {

// Shims share DDR by turns, so a long BD must not keep it for itself.
constexpr int64_t kDdrTurnWords = 2048;

void Copy(uint32_t* to, const uint32_t* from, int64_t count) {
  // Runs within matrix blocks are so short that a call of memcpy would take longer.
  switch (count) {
    case 2:
      std::memcpy(to, from, 2 * kWordBytes);
      break;
    case 4:
      std::memcpy(to, from, 4 * kWordBytes);
      break;
    case 8:
      std::memcpy(to, from, 8 * kWordBytes);
      break;
    default:
      std::memcpy(to, from, count * kWordBytes);
  }
}

}  // namespace

uint32_t* Channel::Words() const {
  const Bd& descriptor = tile.bds[bd];
  if (descriptor.memory_tile != nullptr) return descriptor.memory_tile->memory->words();
  return reinterpret_cast<uint32_t*>(array.arguments[descriptor.argument].data);
}

void Channel::Read(int64_t num_words, uint32_t* to) {
  const uint32_t* memory = Words();
  const bool check = tile.memory && !pattern.is_dense();
  pattern.Walk(num_words, [&](int64_t word, int64_t count) {
    if (word < 0) {  // pads
      std::fill_n(to, count, 0);
    } else {
      if (check) CheckWritten(word * kWordBytes, (word + count) * kWordBytes);
      Copy(to, memory + word, count);
    }
    to += count;
  });
}

void Channel::Write(int64_t num_words, const uint32_t* from) {
  uint32_t* memory = Words();
  const Tile* in = tile.bds[bd].memory_tile;
  TileMemory* marked = in && !pattern.is_dense() ? in->memory.get() : nullptr;
  pattern.Walk(num_words, [&](int64_t word, int64_t count) {
    Copy(memory + word, from, count);
    if (marked) marked->MarkWritten(word * kWordBytes, (word + count) * kWordBytes);
    from += count;
  });
}

bool Channel::IsShim() const { return tile.limits == &array.limits.shim; }

int64_t Channel::turn_words() const {
  return IsShim() ? std::min(words_left, kDdrTurnWords) : words_left;
}

Cycles Channel::BeginMove(int64_t num_words) {
  StartWork("moves");
  details.bd = bd;
  details.bytes = num_words * kWordBytes;
  BeginAccess();
  const Cycles now = array.scheduler.now();
  const double pace = IsShim() ? array.times.shim_cycles_per_word[direction]
                               : array.times.cycles_per_word;
  const Cycles done = now + static_cast<Cycles>(std::ceil(num_words * pace));
  if (!IsShim()) return done;
  details.argument = tile.bds[bd].argument;
  const Cycles served =
      array.ddr.Done(now, tile.at.column, direction, pattern, num_words);
  array.trace.RecordDdr(direction == kMm2s, array.ddr.last_begin(),
                        array.ddr.last_end(), num_words * kWordBytes);
  return std::max(done, served);
}

void Channel::BeginAccess() {
  if (tile.bds[bd].memory_tile == nullptr || access) return;
  const Tile& in = *tile.bds[bd].memory_tile;
  TileMemory& memory = *in.memory;
  const int64_t begin = pattern.begin() * kWordBytes;
  const int64_t end = pattern.end() * kWordBytes;
  // A pattern that is not dense is checked word by word when the words are read.
  if (pattern.is_dense() && direction == kMm2s) CheckWritten(begin, end);
  TileMemory::Access wanted = {begin, end, direction == kS2mm, this, {}};
  if (!pattern.is_dense()) wanted.words = pattern;
  TileMemory::Accesses::iterator handle;
  if (const auto* other = memory.Begin(wanted, &handle)) {
    array.Fail(BdName() + (direction == kS2mm ? " writes" : " reads") + " bytes " +
               std::to_string(begin) + " to " + std::to_string(end) + " of " +
               in.Name() + " while " + other->by->Name() +
               (other->writes ? " writes" : " reads") + " there");
  }
  access = handle;
}

void Channel::CheckWritten(int64_t begin, int64_t end) const {
  const Tile& in = *tile.bds[bd].memory_tile;
  const int64_t unwritten = in.memory->FirstUnwritten(begin, end);
  if (unwritten >= 0) {
    array.Fail(BdName() + " reads byte " + std::to_string(unwritten) + " of " +
               in.Name() + ", which nothing has written");
  }
}

void Channel::Moved(int64_t num_words, Cycles latency) {
  usage.bytes += num_words * kWordBytes;
  array.run.bytes[bytes_counter] += num_words * kWordBytes;
  const Bd& descriptor = tile.bds[bd];
  if (descriptor.memory_tile == nullptr) CountDdr(descriptor.argument, num_words);
  words_left -= num_words;
  if (words_left == 0) {
    EndBd(latency);
  } else {
    StartWait(Wait::kStream, "stream");
    details.bd = bd;
  }
}

void Channel::CountDdr(int argument, int64_t num_words) {
  ArgumentUse& use = array.run.arguments[argument];
  (direction == kS2mm ? use.written : use.read) += num_words * kWordBytes;
  use.runs += static_cast<double>(num_words) / static_cast<double>(pattern.run());
  if (direction == kS2mm) array.run.written_arguments.insert(argument);
}

}  // namespace jax_npu::sim
