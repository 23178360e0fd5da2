#include "aie/sim/engine/dma/route.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "aie/sim/engine/array.h"
#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {
namespace {

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

uint32_t* WordsOf(Array& array, const Channel& channel) {
  const Bd& bd = channel.tile.bds[channel.bd];
  if (bd.memory_tile != nullptr) return bd.memory_tile->memory->words();
  return reinterpret_cast<uint32_t*>(array.arguments[bd.argument].data);
}

// Reads the source's next words into the array's transit buffer; pads become zeros.
void Gather(Array& array, Channel& source, int64_t num_words) {
  const uint32_t* memory = WordsOf(array, source);
  const bool check = source.tile.memory && !source.pattern.is_dense();
  uint32_t* to = array.transit.data();
  source.pattern.Walk(num_words, [&](int64_t word, int64_t count) {
    if (word < 0) {  // pads
      std::fill_n(to, count, 0);
    } else {
      if (check) source.CheckWritten(word * kWordBytes, (word + count) * kWordBytes);
      Copy(to, memory + word, count);
    }
    to += count;
  });
}

// Writes the words in transit to one end's memory.
void Scatter(Array& array, Channel& end, int64_t num_words) {
  uint32_t* memory = WordsOf(array, end);
  const Tile* tile = end.tile.bds[end.bd].memory_tile;
  TileMemory* marked = tile && !end.pattern.is_dense() ? tile->memory.get() : nullptr;
  const uint32_t* from = array.transit.data();
  end.pattern.Walk(num_words, [&](int64_t word, int64_t count) {
    Copy(memory + word, from, count);
    if (marked) marked->MarkWritten(word * kWordBytes, (word + count) * kWordBytes);
    from += count;
  });
}

// Shims share DDR by turns, so a long BD must not keep it for itself.
constexpr int64_t kDdrTurnWords = 2048;

bool IsShim(const Array& array, const Channel& channel) {
  return channel.tile.limits == &array.limits.shim;
}

}  // namespace

void Route::TryMove(Array& array) {
  if (is_moving || !source->is_ready) return;
  int64_t num_words = source->words_left;
  const auto cycles_per_word = [&](const Channel& channel) {
    return IsShim(array, channel) ? array.times.shim_cycles_per_word[channel.direction]
                                  : array.times.cycles_per_word;
  };
  double pace = cycles_per_word(*source);
  for (const End& end : ends) {
    if (!end.channel->is_ready) return;
    num_words = std::min(num_words, end.channel->words_left);
    pace = std::max(pace, cycles_per_word(*end.channel));
  }
  if (IsShim(array, *source) || IsShim(array, *ends.front().channel)) {
    num_words = std::min(num_words, kDdrTurnWords);
  }
  const Cycles now = array.scheduler.now();
  Cycles done = now + static_cast<Cycles>(std::ceil(num_words * pace));
  const auto start = [&](Channel& channel) {
    channel.StartWork("moves");
    channel.details.bd = channel.bd;
    channel.details.bytes = num_words * kWordBytes;
    channel.BeginAccess();
    if (!IsShim(array, channel)) return;
    channel.details.argument = channel.tile.bds[channel.bd].argument;
    done = std::max(done, array.ddr.Done(now, channel.tile.at.column, channel.direction,
                                         channel.pattern, num_words));
    array.trace.RecordDdr(channel.direction == kMm2s, array.ddr.last_begin(),
                          array.ddr.last_end(), num_words * kWordBytes);
  };
  start(*source);
  for (const End& end : ends) {
    start(*end.channel);
    array.trace.RecordFlow("stream", source->track, end.channel->track, now);
  }
  is_moving = true;
  array.scheduler.In(done - now,
                     [this, &array, num_words] { Arrive(array, num_words); });
}

void Route::Arrive(Array& array, int64_t num_words) {
  is_moving = false;
  ++array.progress;
  if (array.effect == Effect::kComputes) {
    array.transit.resize(std::max<size_t>(array.transit.size(), num_words));
    Gather(array, *source, num_words);
    for (const End& end : ends) Scatter(array, *end.channel, num_words);
  }
  array.run.bytes["stream"] += links * num_words * kWordBytes;
  source->Moved(num_words, 0);
  for (const End& end : ends) {
    end.channel->Moved(num_words, end.hops * array.times.hop);
  }
  TryMove(array);
}

}  // namespace jax_npu::sim
