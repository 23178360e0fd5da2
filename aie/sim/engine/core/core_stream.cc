#include "aie/sim/engine/core/core_stream.h"

#include <algorithm>
#include <cmath>

#include "aie/sim/engine/array.h"

namespace jax_npu::sim {
namespace {

constexpr size_t kDepth = 4;  // words; an assumption, which only times depend on

}  // namespace

std::string CoreStream::Name() const {
  return tile.Name() + (direction == kMm2s ? " stream out" : " stream in");
}

void CoreStream::Reset() {
  ResetPort();
  queue_.clear();
  Update();
}

void CoreStream::Update() {
  words_left =
      static_cast<int64_t>(direction == kMm2s ? queue_.size() : kDepth - queue_.size());
  is_ready = words_left > 0;
}

bool CoreStream::Put(uint32_t word) {
  if (queue_.size() >= kDepth) return false;
  queue_.push_back(word);
  Update();
  TryMove();
  return true;
}

bool CoreStream::Get(uint32_t* word) {
  if (queue_.empty()) return false;
  *word = queue_.front();
  queue_.pop_front();
  Update();
  TryMove();
  return true;
}

void CoreStream::Read(int64_t num_words, uint32_t* to) {
  std::copy_n(queue_.begin(), num_words, to);
}

void CoreStream::Write(int64_t num_words, const uint32_t* from) {
  queue_.insert(queue_.end(), from, from + num_words);
}

Cycles CoreStream::BeginMove(int64_t num_words) {
  if (array.effect != Effect::kComputes) {
    array.Fail(Name() + " moves words, which a run that only takes its time does not " +
               "have");
  }
  return array.scheduler.now() +
         static_cast<Cycles>(
             std::ceil(static_cast<double>(num_words) * array.times.cycles_per_word));
}

void CoreStream::Moved(int64_t num_words, Cycles latency) {
  if (direction == kMm2s) {
    queue_.erase(queue_.begin(), queue_.begin() + num_words);
  }
  Update();
  array.scheduler.In(latency, [this] { tile.core->StreamReady(); });
}

}  // namespace jax_npu::sim
