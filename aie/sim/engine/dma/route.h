// A route: from one MM2S channel to one or more S2MM channels.
//
// All ends advance together, so the slowest one sets the pace and one that is not ready
// stops them all.

#ifndef JAX_NPU_AIE_SIM_ENGINE_DMA_ROUTE_H_
#define JAX_NPU_AIE_SIM_ENGINE_DMA_ROUTE_H_

#include <cstdint>
#include <vector>

namespace jax_npu::sim {

struct Array;
struct Channel;

struct Route {
  struct End {
    Channel* channel;
    int hops;  // switches between the source and this end
  };
  Channel* source;
  std::vector<End> ends;
  bool is_moving = false;
  int links = 0;  // the hops of all ends

  // Begins to move words if every end is ready.
  void TryMove(Array& array);

 private:
  void Arrive(Array& array, int64_t num_words);
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_DMA_ROUTE_H_
