// Notices of a run: what silicon lets pass, but its designer may not have meant.
#include <algorithm>

#include "aie/sim/engine/array.h"

namespace jax_npu::sim {
namespace {

// A channel within a BD, or with data that nobody takes.
void NoticeChannel(Array& array, const Channel& channel) {
  if (channel.waiting != Wait::kStream || channel.tile.limits == &array.limits.shim) {
    return;
  }
  const bool receives = channel.direction == kS2mm;
  const int64_t length = channel.pattern.length(), left = channel.words_left;
  const std::string who = channel.Name() + " BD " + std::to_string(channel.bd);
  if (left < length) {
    array.Notice(who + (receives ? " has received " : " has sent ") +
                 std::to_string(length - left) + " of its " + std::to_string(length) +
                 " words when the stream ends");
  } else if (!receives && !channel.was_ready &&
             channel.tile.bds[channel.bd].acquire != nullptr) {
    array.Notice(who + " holds " + std::to_string(left) +
                 " words that nobody takes when the stream ends");
  }
}

void NoticeCore(Array& array, const Core& core) {
  if (core.waiting != Wait::kLock || core.next == core.first_wait) return;
  array.Notice(core.Name() + " is left in mid-loop: it waits for " + core.lock->Name() +
               " at instruction " + std::to_string(core.next) +
               ", and waited first at " + std::to_string(core.first_wait));
}

}  // namespace

bool Array::IsSettled() const {
  const std::vector<Agent*> agents = Agents();
  return std::none_of(agents.begin(), agents.end(), [&](const Agent* agent) {
    return agent != controller.get() &&
           (agent->waiting == Wait::kNothing || agent->waiting == Wait::kLatency);
  });
}

void Array::RememberBegin() {
  for (Tile& tile : tiles) {
    for (auto& channels : tile.channels) {
      for (auto& channel : channels) channel->was_ready = channel->is_ready;
    }
  }
  locks_before_.clear();
  if (!IsSettled()) return;
  for (const Lock* lock : locks) locks_before_.push_back(lock->value + lock->pending);
}

void Array::AddNotices() {
  for (const Tile& tile : tiles) {
    if (tile.core) NoticeCore(*this, *tile.core);
    for (const auto& channels : tile.channels) {
      for (const auto& channel : channels) NoticeChannel(*this, *channel);
    }
  }
  if (locks_before_.empty() || !IsSettled()) return;
  for (size_t i = 0; i < locks.size(); ++i) {
    const int value = locks[i]->value + locks[i]->pending;
    if (value != locks_before_[i]) {
      Notice(locks[i]->Name() + " is " + std::to_string(value) +
             " when the stream ends, and was " + std::to_string(locks_before_[i]) +
             " before it");
    }
  }
}

}  // namespace jax_npu::sim
