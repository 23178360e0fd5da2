#include "aie/sim/engine/dma/route.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "aie/sim/engine/array.h"
#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {
namespace {

constexpr uint32_t kPacketIdBits = 0x1F;
constexpr int kPacketTypeLow = 12, kSourceRowLow = 16, kSourceColumnLow = 21;
constexpr uint32_t kOddParity = uint32_t{1} << 31;

}  // namespace

uint32_t PacketHeader(int id, int type, int column, int row) {
  const uint32_t word = static_cast<uint32_t>(id) |
                        static_cast<uint32_t>(type) << kPacketTypeLow |
                        static_cast<uint32_t>(row) << kSourceRowLow |
                        static_cast<uint32_t>(column) << kSourceColumnLow;
  return std::popcount(word) % 2 == 0 ? word | kOddParity : word;
}

int PacketIdOf(uint32_t header) { return static_cast<int>(header & kPacketIdBits); }

void StreamPort::TryMove() {
  if (direction == kMm2s) {
    if (route != nullptr) route->TryMove(array);
    return;
  }
  if (taken_by != nullptr) return taken_by->TryMove(array);
  for (Route* from : routes) {
    from->TryMove(array);
    if (taken_by != nullptr) return;
  }
}

void StreamPort::ResetPort() {
  taken_by = nullptr;
  is_ready = false;
  words_left = 0;
}

void Route::TryMove(Array& array) {
  if (is_moving || !source->is_ready) return;
  if (packet_id != kCircuit) {
    if (source->route != this || !TakeEnds()) return;
    if (owes_header) return MoveHeader(array);
  }
  int64_t num_words = source->turn_words();
  for (const End& end : ends) {
    if (!end.port->is_ready) return;
    num_words = std::min(num_words, end.port->turn_words());
  }
  const Cycles now = array.scheduler.now();
  Cycles done = source->BeginMove(num_words);
  for (const End& end : ends) {
    done = std::max(done, end.port->BeginMove(num_words));
    array.trace.RecordFlow("stream", source->track, end.port->track, now);
  }
  is_moving = true;
  array.scheduler.In(done - now,
                     [this, &array, num_words] { Arrive(array, num_words); });
}

bool Route::TakeEnds() {
  if (holds_ends) return true;
  for (const End& end : ends) {
    if (end.port->taken_by != nullptr) return false;
  }
  for (const End& end : ends) {
    end.port->taken_by = this;
    owes_header |= end.keeps_header;
  }
  return holds_ends = true;
}

void Route::FreeEnds(Array& array) {
  holds_ends = false;
  for (const End& end : ends) {
    end.port->taken_by = nullptr;
    end.port->EndPacket();
  }
  for (const End& end : ends) {
    const std::vector<Route*>& waiting = end.port->routes;
    const auto own = std::find(waiting.begin(), waiting.end(), this) - waiting.begin();
    for (size_t i = 1; i <= waiting.size() && end.port->taken_by == nullptr; ++i) {
      waiting[(own + i) % waiting.size()]->TryMove(array);
    }
  }
}

void Route::MoveHeader(Array& array) {
  for (const End& end : ends) {
    if (end.keeps_header && !end.port->is_ready) return;
  }
  const Cycles now = array.scheduler.now();
  Cycles done = now + static_cast<Cycles>(std::ceil(array.times.cycles_per_word));
  for (const End& end : ends) {
    if (end.keeps_header) done = std::max(done, end.port->BeginMove(1));
  }
  is_moving = true;
  array.scheduler.In(done - now, [this, &array] { HeaderArrives(array); });
}

void Route::HeaderArrives(Array& array) {
  is_moving = owes_header = false;
  for (const End& end : ends) {
    if (!end.keeps_header) continue;
    if (array.effect == Effect::kComputes) end.port->Write(1, &source->header);
    array.run.bytes["stream"] += end.hops * kWordBytes;
    end.port->Moved(1, end.hops * array.times.hop);
  }
  TryMove(array);
}

void Route::Arrive(Array& array, int64_t num_words) {
  is_moving = false;
  ++array.progress;
  if (array.effect == Effect::kComputes) {
    array.transit.resize(std::max<size_t>(array.transit.size(), num_words));
    source->Read(num_words, array.transit.data());
    for (const End& end : ends) end.port->Write(num_words, array.transit.data());
  }
  array.run.bytes["stream"] += links * num_words * kWordBytes;
  source->Moved(num_words, 0);
  const bool ends_packet = packet_id != kCircuit && source->words_left == 0;
  for (const End& end : ends) end.port->Moved(num_words, end.hops * array.times.hop);
  if (ends_packet) FreeEnds(array);
  TryMove(array);
}

}  // namespace jax_npu::sim
