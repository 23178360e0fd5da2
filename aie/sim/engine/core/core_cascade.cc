// A core's streams and its place in a cascade.
#include <algorithm>

#include "aie/sim/engine/array.h"
#include "aie/sim/engine/core/core.h"
#include "aie/sim/engine/core/integers.h"

namespace jax_npu::sim {
namespace {

// A call waits while its successor has not taken that much. Silicon's cascade holds a
// few vectors, and calls at both of its ends advance together; here the first call ends
// before the second begins.
constexpr int64_t kMaxCascadeBytes = 1 << 16;
// Between two cores lie four values: a FIFO for two at each end (AMD UG1079, "AI Engine
// Tile Interface").
constexpr size_t kCascadeFifoBytes = 4 * kCascadeBytes;

}  // namespace

void Core::StreamReady() {
  if (waiting != Wait::kStream) return;
  awaited = nullptr;
  awaited_core = nullptr;
  ContinueIn(0);
}

bool Core::Put(const Instruction& i) {
  if (!tile.stream_out) array.Fail(Name() + " puts a word, and no flow takes it");
  if (!tile.stream_out->Put(static_cast<uint32_t>(slots[i.left]))) {
    StartWait(Wait::kStream, "stream");
    awaited = tile.stream_out.get();
    return false;
  }
  pending_ += array.times.core_instruction;
  return true;
}

bool Core::Get(const Instruction& i) {
  if (!tile.stream_in) array.Fail(Name() + " gets a word, and no flow brings it");
  uint32_t word = 0;
  if (!tile.stream_in->Get(&word)) {
    StartWait(Wait::kStream, "stream");
    awaited = tile.stream_in.get();
    return false;
  }
  slots[i.result] = static_cast<int32_t>(word);
  pending_ += array.times.core_instruction;
  return true;
}

bool Core::PutCascade(const Instruction& i) {
  if (cascade_to == nullptr) array.Fail(Name() + " puts into a cascade to nobody");
  std::deque<std::byte>& to = cascade_to->cascade;
  // A kernel call over there may wait for more than the FIFO holds: see above.
  if (to.size() >= kCascadeFifoBytes && cascade_to->awaited_core != this) {
    awaited_core = cascade_to;
    StartWait(Wait::kStream, "cascade");
    return false;
  }
  for (const int lane : i.lanes) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&slots[lane]);
    to.insert(to.end(), bytes, bytes + i.element_bytes);
  }
  pending_ += array.times.core_instruction;
  cascade_to->StreamReady();
  return true;
}

bool Core::GetCascade(const Instruction& i) {
  if (cascade_from == nullptr) array.Fail(Name() + " gets from a cascade of nobody");
  if (cascade.size() < kCascadeBytes) {
    awaited_core = cascade_from;
    StartWait(Wait::kStream, "cascade");
    return false;
  }
  for (const int lane : i.lanes) {
    int64_t value = 0;
    std::copy_n(cascade.begin(), i.element_bytes, reinterpret_cast<std::byte*>(&value));
    cascade.erase(cascade.begin(), cascade.begin() + i.element_bytes);
    slots[lane] = i.is_signed ? Wrapped(value, 8 * i.element_bytes) : value;
  }
  pending_ += array.times.core_instruction;
  cascade_from->StreamReady();
  return true;
}

bool Core::CascadeIsReady(const Kernel& kernel) {
  if (kernel.cascade_in_bytes > static_cast<int64_t>(cascade.size())) {
    awaited_core = cascade_from;
  } else if (kernel.cascade_out_bytes > 0 &&
             static_cast<int64_t>(cascade_to->cascade.size()) >= kMaxCascadeBytes) {
    awaited_core = cascade_to;
  } else {
    return true;
  }
  StartWait(Wait::kStream, "cascade");
  return false;
}

void Core::TakeCascade(const Kernel& kernel) {
  if (kernel.cascade_in_bytes > 0) {
    const auto end = cascade.begin() + kernel.cascade_in_bytes;
    cascade_in_.assign(cascade.begin(), end);
    cascade.erase(cascade.begin(), end);
    cascade_from->StreamReady();
    arguments_.push_back({cascade_in_.data(), kernel.cascade_in_bytes, nullptr, 0});
  }
  cascade_out_.assign(kernel.cascade_out_bytes, std::byte{0});
  if (kernel.cascade_out_bytes > 0) {
    arguments_.push_back({cascade_out_.data(), kernel.cascade_out_bytes, nullptr, 0});
  }
}

void Core::GiveCascade() {
  if (cascade_out_.empty()) return;
  std::deque<std::byte>& to = cascade_to->cascade;
  to.insert(to.end(), cascade_out_.begin(), cascade_out_.end());
  cascade_to->StreamReady();
}

}  // namespace jax_npu::sim
