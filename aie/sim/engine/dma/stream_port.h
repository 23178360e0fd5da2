// What sends words into the stream switches, or takes them out: an end of routes.

#ifndef JAX_NPU_AIE_SIM_ENGINE_DMA_STREAM_PORT_H_
#define JAX_NPU_AIE_SIM_ENGINE_DMA_STREAM_PORT_H_

#include <cstdint>
#include <vector>

#include "aie/sim/engine/agent.h"
#include "aie/sim/program/configuration.h"
#include "aie/sim/report/cycles.h"

namespace jax_npu::sim {

struct Route;
struct Tile;

struct StreamPort : Agent {
  StreamPort(Array& array, Tile& tile, Direction direction)
      : Agent(array), tile(tile), direction(direction) {}

  // Whether a sender has something to send, now or once it is ready.
  virtual bool HasWork() const = 0;
  // Moves words out of the sender, or into the receiver.
  virtual void Read(int64_t num_words, uint32_t* to) = 0;
  virtual void Write(int64_t num_words, const uint32_t* from) = 0;
  // Called when its route begins to move that many words. Returns when they can have
  // been moved, as far as this port is concerned.
  virtual Cycles BeginMove(int64_t num_words) = 0;
  // Called when its route has moved words; they reach a receiver `latency` later.
  virtual void Moved(int64_t num_words, Cycles latency) = 0;
  // Called when a packet has ended that a receiver took.
  virtual void EndPacket() {}
  // The most words that it moves at once.
  virtual int64_t turn_words() const { return words_left; }

  // Begins to move words, if the other ends are ready too.
  void TryMove();
  void ResetPort();

  Tile& tile;
  const Direction direction;  // kMm2s sends
  // Those from it, or those to it. A sender has one for each packet ID, or a circuit.
  std::vector<Route*> routes;
  Route* route = nullptr;     // of a sender: the one that its words take now
  Route* taken_by = nullptr;  // of a receiver: the one whose packet it takes
  uint32_t header = 0;        // of the packet that it sends now
  bool is_ready = false;
  int64_t words_left = 0;  // that it can move while it stays ready
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_DMA_STREAM_PORT_H_
