// A tile of the array, with its memory, locks, BDs, DMA channels and core.

#ifndef JAX_NPU_AIE_SIM_ENGINE_TILE_H_
#define JAX_NPU_AIE_SIM_ENGINE_TILE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "aie/sim/engine/core/core.h"
#include "aie/sim/engine/core/core_stream.h"
#include "aie/sim/engine/dma/channel.h"
#include "aie/sim/engine/dma/control_port.h"
#include "aie/sim/engine/dma/trace_unit.h"
#include "aie/sim/engine/tile_memory.h"
#include "aie/sim/program/configuration.h"
#include "aie/sim/program/hardware_limits.h"

namespace jax_npu::sim {

struct Tile;

struct Lock {
  Tile* tile;
  int id, init, value;
  std::string name;
  std::deque<Agent*> queue;  // first come, first served
  int pending = 0;           // what releases under way will add

  std::string Name() const;
};

// A buffer descriptor. The stream writes a shim's BDs; all others are the design's
// until the stream writes them.
struct Bd {
  bool is_defined = false;      // by the design, or written and decoded
  Tile* memory_tile = nullptr;  // null: DDR
  int64_t address = 0;          // in bytes
  int64_t length = 0;           // in words
  int next = -1;                // the BD that follows in the chain, or -1
  Lock *acquire = nullptr, *release = nullptr;
  LockDemand acquire_value;
  int release_value = 0;
  std::vector<Dimension> dimensions;
  int iterations = 1, iteration = 0;  // their number, and the one that is next
  int64_t iteration_stride = 0;       // in words
  bool sends_packets = false;         // with a header of this ID and type
  int packet_id = 0, packet_type = 0;
  int argument = 0;  // the run's buffer, where the memory is DDR

  // What the stream wrote: the words, a bit for each, and, in a shim, whether the
  // address was patched since.
  std::vector<uint32_t> words;
  uint32_t written = 0;
  bool is_patched = false;
};

struct Tile {
  TileAt at;
  const TileLimits* limits;
  const char* kind;                    // "shim", "memtile" or "core"
  std::unique_ptr<TileMemory> memory;  // null in a shim
  std::vector<Lock> locks;
  std::vector<Bd> bds;
  std::vector<std::unique_ptr<Channel>> channels[2];  // by direction
  std::unique_ptr<ControlPort> control;  // where a flow ends at it or begins there
  std::vector<std::unique_ptr<TraceUnit>> trace_units;  // those that flows begin at
  std::unique_ptr<CoreStream> stream_in, stream_out;    // where flows end or begin
  std::unique_ptr<Core> core;

  std::string Name() const;  // "memtile (0, 1)"
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_TILE_H_
