// A tile's data memory: bytes, which words were ever written, and who uses them now.

#ifndef JAX_NPU_AIE_SIM_ENGINE_DEVICE_MEMORY_H_
#define JAX_NPU_AIE_SIM_ENGINE_DEVICE_MEMORY_H_

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

class Memory {
 public:
  // An access that takes time. Two that overlap, one of them a write, are a race.
  struct Access {
    int64_t begin, end;  // bytes
    bool writes;
    const Agent* by;
    std::optional<Pattern> words;  // where only some between them are meant
  };
  using Accesses = std::list<Access>;

  explicit Memory(int64_t bytes);

  int64_t bytes() const { return bytes_; }
  std::byte* data() { return data_.get(); }
  uint32_t* words() { return reinterpret_cast<uint32_t*>(data_.get()); }

  // Forgets what was written.
  void Reset();
  void MarkWritten(int64_t begin, int64_t end);  // bytes
  // Byte offset of the first word in the range that was never written, or -1.
  int64_t FirstUnwritten(int64_t begin, int64_t end) const;

  // One that this would race with, or null.
  const Access* Conflict(const Access& access) const;
  // Adds an access, or returns the one that it races with.
  const Access* Begin(const Access& access, Accesses::iterator* handle);
  void End(Accesses::iterator handle) { accesses_.erase(handle); }

 private:
  struct Free {
    void operator()(std::byte* data) const { std::free(data); }
  };

  int64_t bytes_;
  std::unique_ptr<std::byte, Free> data_;
  std::vector<uint64_t> written_;  // a bit a word
  Accesses accesses_;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_DEVICE_MEMORY_H_
