// A route: from one sender to one or more receivers, as a circuit or for the packets of
// one ID.
//
// All ends advance together, so the slowest one sets the pace and one that is not ready
// stops them all. A packet takes all of its receivers before its first word, and gives
// them back after its last one; of the packets that wait then, the next route's is
// served first, in turn. Routes that share wires do not slow one another.

#ifndef JAX_NPU_AIE_SIM_ENGINE_DMA_ROUTE_H_
#define JAX_NPU_AIE_SIM_ENGINE_DMA_ROUTE_H_

#include <cstdint>
#include <vector>

namespace jax_npu::sim {

struct Array;
struct StreamPort;

struct Route {
  static constexpr int kCircuit = -1;

  struct End {
    StreamPort* port;
    int hops;  // switches between the source and this end
    bool keeps_header;
  };
  StreamPort* source = nullptr;
  std::vector<End> ends;
  int packet_id = kCircuit;
  int links = 0;  // the hops of all ends

  bool is_moving = false;
  bool holds_ends = false, owes_header = false;  // of the current packet

  void Reset() { is_moving = holds_ends = owes_header = false; }
  // Begins to move words if every end is ready.
  void TryMove(Array& array);

 private:
  bool TakeEnds();
  void FreeEnds(Array& array);
  void MoveHeader(Array& array);
  void HeaderArrives(Array& array);
  void Arrive(Array& array, int64_t num_words);
};

// The word in front of a packet, as in AMD UG1603, "Packet Processing".
uint32_t PacketHeader(int id, int type, int column, int row);
// The packet's ID in it.
int PacketIdOf(uint32_t header);

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_DMA_ROUTE_H_
