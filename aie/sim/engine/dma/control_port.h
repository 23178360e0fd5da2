// A tile's control port: it executes control packets, which write and read registers.
//
// A control packet is a word with an address, an operation and a number of words, then
// the words to write. AMD AM020 has its layout ("Control Packets"), mlir-aie's
// AIEXOps.td its operations.

#ifndef JAX_NPU_AIE_SIM_ENGINE_DMA_CONTROL_PORT_H_
#define JAX_NPU_AIE_SIM_ENGINE_DMA_CONTROL_PORT_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "aie/sim/engine/dma/stream_port.h"

namespace jax_npu::sim {

// What a control port answers: a packet for each read.
struct ControlAnswers : StreamPort {
  ControlAnswers(Array& array, Tile& tile) : StreamPort(array, tile, kMm2s) {}
  std::string Name() const override;
  void Granted() override {}
  void Reset();
  void Send(int packet_id, std::vector<uint32_t> words);

  bool HasWork() const override { return !answers.empty(); }
  void Read(int64_t num_words, uint32_t* to) override;
  void Write(int64_t, const uint32_t*) override {}
  Cycles BeginMove(int64_t num_words) override;
  void Moved(int64_t num_words, Cycles latency) override;

 private:
  void Begin();

  struct Answer {
    int packet_id;
    std::vector<uint32_t> words;
  };
  std::deque<Answer> answers;  // the front one is on its way
};

struct ControlPort : StreamPort {
  ControlPort(Array& array, Tile& tile)
      : StreamPort(array, tile, kS2mm), answers(array, tile) {}
  std::string Name() const override;
  void Granted() override {}
  void Reset();

  bool HasWork() const override { return true; }
  void Read(int64_t, uint32_t*) override {}
  void Write(int64_t num_words, const uint32_t* from) override;
  Cycles BeginMove(int64_t num_words) override;
  void Moved(int64_t num_words, Cycles latency) override;
  void EndPacket() override;

  ControlAnswers answers;

 private:
  void Execute();

  std::vector<uint32_t> packet_;  // its words so far
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_DMA_CONTROL_PORT_H_
