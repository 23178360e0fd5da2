// A tile's data memory: its bytes, which words were ever written, and which accesses
// are under way.

#ifndef JAX_NPU_AIE_SIM_ENGINE_TILE_MEMORY_H_
#define JAX_NPU_AIE_SIM_ENGINE_TILE_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aie/sim/program/pattern.h"

namespace jax_npu::sim {

struct Agent;

class TileMemory {
 public:
  // An access that takes time. Two accesses that overlap are a race if one writes.
  struct Access {
    int64_t begin, end;  // bytes
    bool writes;
    const Agent* by;
    std::optional<Pattern> words;  // the words in [begin, end), where not all
  };
  using Accesses = std::list<Access>;

  explicit TileMemory(int64_t bytes);

  int64_t bytes() const { return bytes_; }
  std::byte* data() { return data_.get(); }
  uint32_t* words() { return reinterpret_cast<uint32_t*>(data_.get()); }

  // Sets every byte, and forgets what was written and the accesses.
  void Reset(int fill);
  void Load(int64_t address, const std::vector<uint8_t>& bytes);
  void MarkWritten(int64_t begin, int64_t end);  // in bytes
  void MarkAllWritten() { MarkWritten(0, bytes_); }
  // The byte offset of the first word in the range that was never written, or -1.
  int64_t FirstUnwritten(int64_t begin, int64_t end) const;

  // The access that this one would race with, or null.
  const Access* Conflict(const Access& access) const;
  // Adds an access and returns null, or returns the one that it races with.
  const Access* Begin(const Access& access, Accesses::iterator* handle);
  void End(Accesses::iterator handle) { accesses_.erase(handle); }

 private:
  struct Free {
    void operator()(std::byte* data) const { std::free(data); }
  };

  int64_t bytes_;
  std::unique_ptr<std::byte, Free> data_;
  std::vector<uint64_t> written_;  // one bit for each word
  Accesses accesses_;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_TILE_MEMORY_H_
