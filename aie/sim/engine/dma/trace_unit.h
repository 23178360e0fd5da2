// A trace unit: a sender of packets that the virtual NPU never fills.
//
// What it would record, cycle by cycle, is not simulated: channels that wait for its
// packets wait for ever, and the end of a stream does not ask for them.

#ifndef JAX_NPU_AIE_SIM_ENGINE_DMA_TRACE_UNIT_H_
#define JAX_NPU_AIE_SIM_ENGINE_DMA_TRACE_UNIT_H_

#include <string>

#include "aie/sim/engine/dma/stream_port.h"

namespace jax_npu::sim {

struct TraceUnit : StreamPort {
  TraceUnit(Array& array, Tile& tile, int number, std::string name)
      : StreamPort(array, tile, kMm2s), number(number), name(std::move(name)) {}
  std::string Name() const override { return name; }
  void Granted() override {}

  bool HasWork() const override { return false; }
  void Read(int64_t, uint32_t*) override {}
  void Write(int64_t, const uint32_t*) override {}
  Cycles BeginMove(int64_t) override { return 0; }
  void Moved(int64_t, Cycles) override {}

  const int number;
  const std::string name;  // "core (0, 2) trace unit 0"
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_DMA_TRACE_UNIT_H_
