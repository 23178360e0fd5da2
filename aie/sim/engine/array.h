// The state of the array, which every part of the virtual NPU reads and changes.

#ifndef JAX_NPU_AIE_SIM_ENGINE_ARRAY_H_
#define JAX_NPU_AIE_SIM_ENGINE_ARRAY_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "aie/sim/engine/controller/controller.h"
#include "aie/sim/engine/dma/ddr.h"
#include "aie/sim/engine/dma/route.h"
#include "aie/sim/engine/scheduler.h"
#include "aie/sim/engine/tile.h"
#include "aie/sim/engine/virtual_npu.h"
#include "aie/sim/program/configuration.h"
#include "aie/sim/program/hardware_limits.h"
#include "aie/sim/program/kernel_table.h"
#include "aie/sim/report/report.h"
#include "aie/sim/report/trace.h"

namespace jax_npu::sim {

// Throws std::invalid_argument: of a configuration.
[[noreturn]] void Inconsistent(const std::string& what);

struct Array {
  // Throws std::invalid_argument for a configuration that is not consistent.
  Array(Configuration configuration, std::shared_ptr<const KernelTable> kernels,
        Effect effect, Cycles now = 0);

  Tile& At(TileAt at);
  // The memtile so many columns from a memtile, or null. West of an npu1's first column
  // lies one that no design can name.
  Tile* MemtileBeside(Tile& tile, int columns);
  // Takes what is demanded from a lock, or makes the agent wait for it.
  bool Acquire(Lock& lock, const LockDemand& demand, Agent& agent);
  void Release(Lock& lock, int value, const Agent& by);
  // `by` is the agent whose release it is, or null.
  void SetLock(Lock& lock, int value, const Agent* by = nullptr);
  void Reset();
  void BeginRun(std::vector<DeviceBuffer> arguments);
  void EndRun();
  // Brings the counters of the run up to now.
  void CountRun();
  // At the begin of the stream: what the run's notices compare its end with.
  void RememberBegin();
  void Notice(const std::string& what) { run.notices.push_back(what); }
  // The agents that wait for one another, in one line: for the message of a deadlock.
  std::string WhoWaits() const;
  // What every agent does, all locks, task queues and buffers.
  std::string StateJson() const;
  // Throws a Trap whose message ends with the time.
  [[noreturn]] void Fail(const std::string& what) const;
  std::vector<Agent*> Agents() const;

  const Configuration configuration;
  const Limits limits;
  const Times times;
  const std::shared_ptr<const KernelTable> kernels;
  const Effect effect;
  Scheduler scheduler;
  Trace trace;
  std::vector<Tile> tiles;             // [num_columns][num_rows]
  std::unique_ptr<Tile> memtile_west;  // of the first column, or null
  std::vector<Lock*> locks;            // as the configuration numbers them
  std::vector<std::unique_ptr<Route>> routes;
  std::unique_ptr<Controller> controller;
  std::vector<DeviceBuffer> arguments;
  Ddr ddr;
  int64_t progress = 0;  // words moved, kernels called, operations executed
  Report run, total;
  // By designs that were loaded before this one in the same run.
  std::map<std::string, Usage> earlier_usage;
  std::set<int> loadable;         // the PDIs that LOADPDI may name
  std::vector<uint32_t> transit;  // words on their way

 private:
  void ResetTile(Tile& tile);
  // In notices.cc: what a run leaves behind that its design may not have meant.
  bool IsSettled() const;
  void AddNotices();
  std::vector<int> locks_before_;  // their values, or empty if something was at work
  // In load_array.cc and load_streams.cc: each builds and checks one part of the
  // configuration.
  void MakeTiles();
  void MakeTile(Tile& tile, TileAt at);
  void LoadLocks();
  void CheckBuffers();
  void LoadBds();
  void LoadRoutes();
  // The source's route for an ID, which is made if there is none.
  Route* RouteOf(StreamPort& source, int packet_id);
  void CheckStarts();
  void LoadCore(const CoreInfo& info);
  void CheckStreams();
  void LoadCascades();
  void CheckCall(const Tile& tile, const Instruction& instruction) const;
  StreamPort& PortAt(TileAt at, Direction direction, const PortInfo& port);
  Channel& ChannelAt(TileAt at, Direction direction, int number);
  void AddTracks();
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_ARRAY_H_
