#include "aie/sim/engine/dma/control_port.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "aie/sim/engine/array.h"
#include "aie/sim/engine/controller/registers.h"
#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {
namespace {

// The first word. The number of words is stored less 1; bit 31 is a parity.
constexpr Field kAddress = {0, 20}, kNumWords = {20, 2}, kOperation = {22, 2};
constexpr Field kAnswerId = {24, 5};
enum Operation : uint32_t { kWrite = 0, kRead = 1 };

constexpr int64_t kAnyNumber = std::numeric_limits<int64_t>::max();

Cycles PaceOf(const Array& array, int64_t num_words) {
  return array.scheduler.now() +
         static_cast<Cycles>(
             std::ceil(static_cast<double>(num_words) * array.times.cycles_per_word));
}

}  // namespace

std::string ControlPort::Name() const { return tile.Name() + " control port"; }

void ControlPort::Reset() {
  ResetPort();
  packet_.clear();
  answers.Reset();
  is_ready = true;
  words_left = kAnyNumber;
}

void ControlPort::Write(int64_t num_words, const uint32_t* from) {
  for (const uint32_t* word = from; word != from + num_words; ++word) {
    packet_.push_back(*word);
    const uint32_t head = packet_.front();
    const bool writes = kOperation.Of(head) == kWrite;
    if (packet_.size() == 1 + (writes ? kNumWords.Of(head) + 1 : 0)) {
      Execute();
      packet_.clear();
    }
  }
}

Cycles ControlPort::BeginMove(int64_t num_words) {
  if (array.effect != Effect::kComputes) {
    array.Fail(Name() + " gets a control packet, whose words a run that only takes " +
               "its time does not have");
  }
  return PaceOf(array, num_words);
}

void ControlPort::Moved(int64_t, Cycles) {}

void ControlPort::EndPacket() {
  if (packet_.empty()) return;
  array.Fail(Name() + " gets a control packet that ends after " +
             std::to_string(packet_.size()) + " of " +
             std::to_string(kNumWords.Of(packet_.front()) + 2) + " words");
}

void ControlPort::Execute() {
  const uint32_t head = packet_.front(), operation = kOperation.Of(head);
  const uint32_t address = kAddress.Of(head) |
                           static_cast<uint32_t>(tile.at.row) << kTileRow.low |
                           static_cast<uint32_t>(tile.at.column) << kTileColumn.low;
  Controller& controller = *array.controller;
  ++array.progress;
  if (operation == kWrite) {
    const std::vector<uint32_t> words(packet_.begin() + 1, packet_.end());
    controller.WriteFor(Name(), address, words);
  } else if (operation == kRead) {
    answers.Send(static_cast<int>(kAnswerId.Of(head)),
                 controller.ReadFor(Name(), address, kNumWords.Of(head) + 1));
  } else {
    array.Fail(Name() + " gets a control packet of operation " +
               std::to_string(operation) + ": only writes, 0, and reads, 1, are known");
  }
}

std::string ControlAnswers::Name() const { return tile.Name() + " control answers"; }

void ControlAnswers::Reset() {
  ResetPort();
  answers.clear();
}

void ControlAnswers::Send(int packet_id, std::vector<uint32_t> words) {
  answers.push_back({packet_id, std::move(words)});
  if (answers.size() == 1) Begin();
}

void ControlAnswers::Begin() {
  const int id = answers.front().packet_id;
  const auto found =
      std::find_if(routes.begin(), routes.end(),
                   [&](const Route* carrier) { return carrier->packet_id == id; });
  if (found == routes.end()) {
    array.Fail(Name() + " are packets of ID " + std::to_string(id) +
               ", which no packet flow carries");
  }
  route = *found;
  header = PacketHeader(id, 0, tile.at.column, tile.at.row);
  words_left = static_cast<int64_t>(answers.front().words.size());
  is_ready = true;
  TryMove();
}

void ControlAnswers::Read(int64_t num_words, uint32_t* to) {
  const std::vector<uint32_t>& words = answers.front().words;
  std::copy_n(words.end() - words_left, num_words, to);
}

Cycles ControlAnswers::BeginMove(int64_t num_words) { return PaceOf(array, num_words); }

void ControlAnswers::Moved(int64_t num_words, Cycles) {
  words_left -= num_words;
  if (words_left > 0) return;
  is_ready = false;
  answers.pop_front();
  // Its receivers are given back first.
  if (!answers.empty()) array.scheduler.In(1, [this] { Begin(); });
}

}  // namespace jax_npu::sim
