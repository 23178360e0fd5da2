// A core's stream port: a short queue of words between its program and the switches.

#ifndef JAX_NPU_AIE_SIM_ENGINE_CORE_CORE_STREAM_H_
#define JAX_NPU_AIE_SIM_ENGINE_CORE_CORE_STREAM_H_

#include <cstdint>
#include <deque>
#include <string>

#include "aie/sim/engine/dma/stream_port.h"

namespace jax_npu::sim {

struct CoreStream : StreamPort {
  CoreStream(Array& array, Tile& tile, Direction direction)
      : StreamPort(array, tile, direction) {}
  std::string Name() const override;
  void Granted() override {}
  void Reset();

  // The core's side. False: it has to wait until it is woken.
  bool Put(uint32_t word);
  bool Get(uint32_t* word);

  bool HasWork() const override { return true; }  // its program may put something
  void Read(int64_t num_words, uint32_t* to) override;
  void Write(int64_t num_words, const uint32_t* from) override;
  Cycles BeginMove(int64_t num_words) override;
  void Moved(int64_t num_words, Cycles latency) override;

 private:
  void Update();  // whether and how much it can move

  std::deque<uint32_t> queue_;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_CORE_CORE_STREAM_H_
