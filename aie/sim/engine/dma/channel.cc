// Tasks, and the BDs of their chains.
#include "aie/sim/engine/dma/channel.h"

#include <algorithm>

#include "aie/sim/engine/array.h"
#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {
namespace {

const char* const kDirectionNames[] = {"S2MM", "MM2S"};
// Report::bytes' keys, by the memory's level: DDR, memtile (L2), core (L1).
const char* const kBytesWritten[] = {"ddr_write", "l2_write", "l1_write"};
const char* const kBytesRead[] = {"ddr_read", "l2_read", "l1_read"};

}  // namespace

Channel::Channel(Array& in, Tile& of, Direction d, int i)
    : StreamPort(in, of, d), number(i) {
  const int level = std::min(of.at.row, 2);  // row 0: shim, 1: memtile, others: cores
  bytes_counter = (d == kS2mm ? kBytesWritten : kBytesRead)[level];
}

std::string Channel::Name() const {
  return tile.Name() + " " + kDirectionNames[direction] + " " + std::to_string(number);
}

std::string Channel::BdName() const { return Name() + " BD " + std::to_string(bd); }

void Channel::Reset() {
  ResetPort();
  queue.clear();
  sends_tokens = false;
  is_cold = true;
  bd = -1;
  access.reset();
  pushed.clear();
  tokens.clear();
  num_proven = 0;
  StartWait(Wait::kTask, "no task");
}

void Channel::BeginRun() {
  // The host takes a trace's buffer back after its run.
  if (is_ready && IsForTraces()) {
    is_ready = false;
    queue.clear();
    StartWait(Wait::kTask, "no task");
  }
  is_cold = true;
  pushed.clear();
  tokens.clear();
  num_proven = 0;
}

void Channel::Push(const Task& task) {
  if (queue.size() == array.limits.queue_depth) {
    array.Fail("word " + std::to_string(task.word) + ": " + Name() + " BD " +
               std::to_string(task.bd) + " overflows the queue of " +
               std::to_string(queue.size()) + " tasks, the oldest of which is BD " +
               std::to_string(queue.front().bd) + " of word " +
               std::to_string(queue.front().word));
  }
  queue.push_back(task);
  array.trace.RecordQueue(track, array.scheduler.now(), queue.size());
  if (queue.size() == 1) BeginTask();
}

void Channel::BeginTask() {
  StartWait(Wait::kLatency, "setup");
  const Times& times = array.times;
  Cycles delay = times.channel_start;
  if (IsShim()) {
    delay = (is_cold ? times.shim_first_task : times.shim_task)[direction];
    is_cold = false;
  }
  bd = queue.front().bd;
  repeats_left = queue.front().repeats;
  if (direction == kMm2s && route != nullptr && route->packet_id == Route::kCircuit) {
    for (const Route::End& end : route->ends) {
      auto* receiver = dynamic_cast<Channel*>(end.port);
      if (receiver != nullptr && receiver->is_ready) receiver->BeginAccess();
    }
  }
  array.scheduler.In(delay + times.bd_setup, [this] { BeginBd(queue.front().bd); });
}

void Channel::BeginBd(int id) {
  bd = id;
  Bd& descriptor = tile.bds[id];
  if (!descriptor.is_defined) array.Fail(BdName() + " is not defined");
  const int64_t address = descriptor.address + kWordBytes *
                                                   descriptor.iteration_stride *
                                                   descriptor.iteration;
  if (address % kWordBytes != 0) {
    array.Fail(BdName() + " begins at byte " + std::to_string(address) +
               ", which is not a multiple of " + std::to_string(kWordBytes));
  }
  pattern = Pattern(address / kWordBytes, descriptor.length, descriptor.dimensions);
  words_left = pattern.length();
  CheckPattern(descriptor);
  details.bd = bd;
  if (descriptor.acquire == nullptr) {
    Ready();
  } else if (array.Acquire(*descriptor.acquire, descriptor.acquire_value, *this)) {
    Granted();
  } else {
    details.bd = bd;
  }
}

void Channel::CheckPattern(const Bd& descriptor) const {
  const bool in_ddr = descriptor.memory_tile == nullptr;
  const int64_t bytes = in_ddr ? array.arguments[descriptor.argument].bytes
                               : descriptor.memory_tile->memory->bytes();
  if (pattern.begin() < 0 || pattern.end() * kWordBytes > bytes) {
    const std::string where = in_ddr
                                  ? "argument " + std::to_string(descriptor.argument)
                                  : "the memory of " + descriptor.memory_tile->Name();
    array.Fail(BdName() + " reaches from byte " +
               std::to_string(pattern.begin() * kWordBytes) + " to " +
               std::to_string(pattern.end() * kWordBytes) + " of " + where +
               ", which has " + std::to_string(bytes) + TaskWord());
  }
  if (direction == kS2mm && pattern.has_pads()) {
    array.Fail(BdName() + " pads what it receives, which only MM2S channels can");
  }
}

std::string Channel::TaskWord() const {
  const size_t word = queue.front().word;
  return word == 0 ? "" : ", pushed at word " + std::to_string(word);
}

void Channel::Granted() {
  StartWait(Wait::kLatency, "setup");
  array.scheduler.In(array.times.lock, [this] { Ready(); });
}

void Channel::Ready() {
  // What is read may be fetched at once, and what is written may be from now on, unless
  // nothing is on its way.
  if (direction == kMm2s || IsFed()) BeginAccess();
  if (direction == kMm2s && !routes.empty()) ChooseRoute();
  is_ready = true;
  StartWait(Wait::kStream, "stream");
  details.bd = bd;
  if (words_left == 0) {  // an empty BD
    EndBd(0);
  } else {
    TryMove();
  }
}

bool Channel::IsFed() const {
  return routes.empty() ||
         std::any_of(routes.begin(), routes.end(),
                     [](const Route* from) { return from->source->HasWork(); });
}

void Channel::ChooseRoute() {
  const Bd& descriptor = tile.bds[bd];
  if (routes.front()->packet_id == Route::kCircuit) {
    if (descriptor.sends_packets) {
      array.Fail(BdName() + " sends packets, but its flow is a circuit");
    }
    route = routes.front();
    return;
  }
  if (descriptor.sends_packets) {
    header = PacketHeader(descriptor.packet_id, descriptor.packet_type, tile.at.column,
                          tile.at.row);
  } else {
    // The first word of its data is the header.
    if (array.effect != Effect::kComputes) {
      array.Fail(BdName() + " has packet headers in its data, which a run that only " +
                 "takes its time does not have");
    }
    if (words_left > 0) {
      Read(1, &header);
      --words_left;
    }
  }
  const int id = PacketIdOf(header);
  const auto found =
      std::find_if(routes.begin(), routes.end(),
                   [&](const Route* carrier) { return carrier->packet_id == id; });
  if (found == routes.end()) {
    array.Fail(BdName() + " sends a packet of ID " + std::to_string(id) +
               ", which no packet flow carries");
  }
  route = *found;
}

void Channel::EndBd(Cycles latency) {
  is_ready = false;
  StartWait(Wait::kLatency, "setup");
  Bd& descriptor = tile.bds[bd];
  if (Tile* in = descriptor.memory_tile) {
    if (access) in->memory->End(*access);
    access.reset();
    if (direction == kS2mm && pattern.is_dense()) {
      in->memory->MarkWritten(pattern.begin() * kWordBytes, pattern.end() * kWordBytes);
    }
  }
  if (descriptor.iterations > 1) {
    descriptor.iteration = (descriptor.iteration + 1) % descriptor.iterations;
  }
  const Times& times = array.times;
  if (Lock* released = descriptor.release) {
    const bool in_memtile = tile.limits == &array.limits.memtile;
    const Cycles delay =
        latency + times.lock + (in_memtile ? times.memtile_release : 0);
    released->pending += descriptor.release_value;
    array.scheduler.In(delay, [this, released, value = descriptor.release_value] {
      released->pending -= value;
      array.Release(*released, value, *this);
    });
  }
  if (descriptor.next >= 0) {
    array.scheduler.In(times.bd_chain,
                       [this, next = descriptor.next] { BeginBd(next); });
  } else if (--repeats_left > 0) {
    array.scheduler.In(times.bd_chain, [this] { BeginBd(queue.front().bd); });
  } else {
    array.scheduler.In(latency + times.bd_chain, [this] { EndTask(); });
  }
}

void Channel::EndTask() {
  const Task task = queue.front();
  queue.pop_front();
  array.trace.RecordQueue(track, array.scheduler.now(), queue.size());
  if (queue.empty()) {
    StartWait(Wait::kTask, "no task");
  } else {
    BeginTask();
  }
  if (task.token) {
    if (!sends_tokens) {
      array.Fail(Name() + " BD " + std::to_string(task.bd) + ", pushed at word " +
                 std::to_string(task.word) +
                 ", is asked for a token, but no controller id was set");
    }
    tokens.push_back(task.word);
    array.controller->TokenSent();
  }
}

void Channel::TakeToken() {
  const size_t token = tokens.front();
  tokens.pop_front();
  while (num_proven < pushed.size() && pushed[num_proven++].word != token) continue;
}

bool Channel::IsForTraces() const {
  return direction == kS2mm && !routes.empty() &&
         std::all_of(routes.begin(), routes.end(), [](const Route* from) {
           return dynamic_cast<const TraceUnit*>(from->source) != nullptr;
         });
}

bool Channel::Uses(int wanted) const {
  for (const Task& task : queue) {
    int id = task.bd;
    for (size_t i = 0; i < tile.bds.size() && id >= 0; ++i) {
      if (id == wanted) return true;
      id = tile.bds[id].next;
    }
  }
  return !queue.empty() && bd == wanted;
}

}  // namespace jax_npu::sim
