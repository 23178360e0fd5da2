#include "aie/sim/engine/tile_memory.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <new>

#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {
namespace {

constexpr int64_t kBits = 64;       // in a word of `written_`
constexpr int64_t kAlignment = 64;  // in bytes: a vector of the host

// The bits of [begin, end) in the 64 bits from `first` on, as a mask.
uint64_t Mask(int64_t first, int64_t begin, int64_t end) {
  const int64_t low = std::max<int64_t>(begin - first, 0);
  const int64_t high = std::min(end - first, kBits);
  const uint64_t below_high = high == kBits ? ~uint64_t{0} : (uint64_t{1} << high) - 1;
  return below_high & ~((uint64_t{1} << low) - 1);
}

// Calls visit(word) for each of the access's words in [begin, end), which are bytes.
// Words count from the one that holds byte `begin`.
template <typename Visit>
void VisitWords(const TileMemory::Access& access, int64_t begin, int64_t end,
                Visit visit) {
  const int64_t first = begin / kWordBytes, last = (end + kWordBytes - 1) / kWordBytes;
  const auto visit_row = [&](int64_t word, int64_t count) {
    if (word < 0) return;  // pads
    const int64_t behind = std::min(word + count, last);
    for (int64_t i = std::max(word, first); i < behind; ++i) visit(i - first);
  };
  if (!access.words) return visit_row(first, last - first);
  Pattern words = *access.words;
  words.Walk(words.length(), visit_row);
}

bool Overlap(const TileMemory::Access& a, const TileMemory::Access& b) {
  const int64_t begin = std::max(a.begin, b.begin), end = std::min(a.end, b.end);
  if (begin >= end || (!a.words && !b.words)) return begin < end;
  std::vector<bool> touched(end / kWordBytes - begin / kWordBytes + 1);
  VisitWords(a, begin, end, [&](int64_t word) { touched[word] = true; });
  bool found = false;
  VisitWords(b, begin, end, [&](int64_t word) { found |= touched[word]; });
  return found;
}

}  // namespace

TileMemory::TileMemory(int64_t bytes)
    : bytes_(bytes),
      data_(static_cast<std::byte*>(std::aligned_alloc(
          kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment))),
      written_((bytes / kWordBytes + kBits - 1) / kBits) {
  if (!data_) throw std::bad_alloc();
  std::memset(data_.get(), 0, bytes);
}

void TileMemory::Reset(int fill) {
  std::memset(data_.get(), fill, bytes_);
  std::fill(written_.begin(), written_.end(), 0);
  accesses_.clear();
}

void TileMemory::Load(int64_t address, const std::vector<uint8_t>& bytes) {
  std::memcpy(data_.get() + address, bytes.data(), bytes.size());
  MarkWritten(address, address + static_cast<int64_t>(bytes.size()));
}

void TileMemory::MarkWritten(int64_t begin, int64_t end) {
  begin /= kWordBytes;
  end = (end + kWordBytes - 1) / kWordBytes;
  for (int64_t i = begin / kBits; i * kBits < end; ++i) {
    written_[i] |= Mask(i * kBits, begin, end);
  }
}

int64_t TileMemory::FirstUnwritten(int64_t begin, int64_t end) const {
  begin /= kWordBytes;
  end = (end + kWordBytes - 1) / kWordBytes;
  for (int64_t i = begin / kBits; i * kBits < end; ++i) {
    if (const uint64_t missing = ~written_[i] & Mask(i * kBits, begin, end)) {
      return (i * kBits + std::countr_zero(missing)) * kWordBytes;
    }
  }
  return -1;
}

const TileMemory::Access* TileMemory::Conflict(const Access& access) const {
  for (const Access& other : accesses_) {
    if (other.by != access.by && (other.writes || access.writes) &&
        Overlap(access, other)) {
      return &other;
    }
  }
  return nullptr;
}

const TileMemory::Access* TileMemory::Begin(const Access& access,
                                            Accesses::iterator* handle) {
  if (const Access* other = Conflict(access)) return other;
  accesses_.push_back(access);
  *handle = std::prev(accesses_.end());
  return nullptr;
}

}  // namespace jax_npu::sim
