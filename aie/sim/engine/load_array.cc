// Array's constructor: what the configuration says becomes tiles, locks, BDs, routes
// and cores. Each item is checked as it is loaded, so that a run needs no checks of
// them.
#include <stdexcept>
#include <utility>

#include "aie/sim/engine/array.h"

namespace jax_npu::sim {
void Inconsistent(const std::string& what) {
  throw std::invalid_argument("configuration: " + what);
}

Array::Array(Configuration from, std::shared_ptr<const KernelTable> table,
             Effect wanted, Cycles now)
    : configuration(std::move(from)),
      limits(configuration),
      times(configuration),
      kernels(std::move(table)),
      effect(wanted),
      scheduler(now),
      ddr(times, limits.num_columns) {
  MakeTiles();
  LoadLocks();
  CheckBuffers();
  LoadBds();
  LoadRoutes();
  CheckStarts();
  for (const CoreInfo& info : configuration.cores) LoadCore(info);
  CheckStreams();
  LoadCascades();
  controller = std::make_unique<Controller>(*this);
  AddTracks();
  run.device = total.device = configuration.device;
  run.clock_hz = total.clock_hz = times.clock_hz;
  Reset();
}

void Array::MakeTiles() {
  // Tiles and locks are pointed at, so they must not move once they are made.
  tiles.resize(limits.num_columns * limits.num_rows);
  for (int column = 0; column < limits.num_columns; ++column) {
    for (int row = 0; row < limits.num_rows; ++row) {
      MakeTile(At({column, row}), {column, row});
    }
  }
  if (limits.has_memtile_west) {
    memtile_west = std::make_unique<Tile>();
    MakeTile(*memtile_west, {-1, 1});
  }
}

void Array::MakeTile(Tile& tile, TileAt at) {
  tile.at = at;
  tile.limits = at.row == 0   ? &limits.shim
                : at.row == 1 ? &limits.memtile
                              : &limits.core;
  tile.kind = at.row == 0 ? "shim" : at.row == 1 ? "memtile" : "core";
  if (tile.limits->memory_bytes > 0) {
    tile.memory = std::make_unique<TileMemory>(tile.limits->memory_bytes);
  }
  for (int id = 0; id < tile.limits->num_locks; ++id) {
    tile.locks.push_back({&tile, id, 0, 0, "", {}});
  }
  tile.bds.resize(tile.limits->num_bds);
  for (const Direction direction : {kS2mm, kMm2s}) {
    for (int i = 0; i < tile.limits->num_channels[direction]; ++i) {
      tile.channels[direction].push_back(
          std::make_unique<Channel>(*this, tile, direction, i));
    }
  }
}

void Array::LoadLocks() {
  for (const LockInfo& info : configuration.locks) {
    Tile& tile = At(info.tile);
    if (info.id < 0 || info.id >= tile.limits->num_locks || info.init < 0 ||
        info.init > limits.max_lock_value) {
      Inconsistent(tile.Name() + " has no lock " + std::to_string(info.id) + " of " +
                   std::to_string(info.init));
    }
    Lock& lock = tile.locks[info.id];
    lock.init = info.init;
    lock.name = info.name;
    locks.push_back(&lock);
  }
}

void Array::CheckBuffers() {
  for (const BufferInfo& info : configuration.buffers) {
    const Tile& tile = At(info.tile);
    if (info.address < 0 || info.bytes < 0 ||
        info.address + info.bytes > tile.limits->memory_bytes) {
      Inconsistent("buffer " + info.name + " lies outside the memory of " +
                   tile.Name());
    }
  }
}

void Array::LoadBds() {
  for (const BdInfo& info : configuration.bds) {
    Tile& tile = At(info.tile);
    if (info.id < 0 || info.id >= tile.limits->num_bds ||
        info.next >= tile.limits->num_bds) {
      Inconsistent(tile.Name() + " has no BD " + std::to_string(info.id));
    }
    if (tile.limits == &limits.shim) {
      Inconsistent("BDs of " + tile.Name() + " are written by the stream alone");
    }
    Bd& bd = tile.bds[info.id];
    bd.is_defined = true;
    bd.memory_tile = &At(info.memory);
    if (!bd.memory_tile->memory) {
      Inconsistent(tile.Name() + " addresses a tile of no memory");
    }
    bd.address = info.address;
    bd.length = info.length;
    bd.next = info.next;
    bd.acquire = info.acquire_lock < 0 ? nullptr : locks[info.acquire_lock];
    bd.acquire_value = DemandOf(info.acquire_value);
    bd.release = info.release_lock < 0 ? nullptr : locks[info.release_lock];
    bd.release_value = info.release_value;
    bd.dimensions = info.dimensions;
    bd.sends_packets = info.packet_id >= 0;
    bd.packet_id = info.packet_id;
    bd.packet_type = info.packet_type;
  }
  for (const BdInfo& info : configuration.bds) {
    const Tile& tile = At(info.tile);
    if (info.next >= 0 && !tile.bds[info.next].is_defined) {
      Inconsistent(tile.Name() + " BD " + std::to_string(info.id) + " leads to BD " +
                   std::to_string(info.next) + ", which is not defined");
    }
  }
}

void Array::CheckStarts() {
  for (const StartInfo& info : configuration.starts) {
    ChannelAt(info.tile, info.direction, info.channel);  // throws if there is none
    const Tile& tile = At(info.tile);
    if (info.bd < 0 || info.bd >= tile.limits->num_bds ||
        !tile.bds[info.bd].is_defined) {
      Inconsistent(tile.Name() + " starts BD " + std::to_string(info.bd) +
                   ", which is not defined");
    }
  }
}

void Array::LoadCore(const CoreInfo& info) {
  Tile& tile = At(info.tile);
  if (tile.limits != &limits.core || tile.core) {
    Inconsistent(tile.Name() + " is given a program that it cannot hold");
  }
  for (const Instruction& instruction : info.program) {
    if (instruction.op == Op::kCall) CheckCall(tile, instruction);
  }
  tile.core = std::make_unique<Core>(*this, tile, info);
}

void Array::CheckCall(const Tile& tile, const Instruction& instruction) const {
  const KernelInfo& called = configuration.kernels[instruction.kernel];
  const auto kernel = kernels->find(called.name);
  if (kernel == kernels->end()) {
    Inconsistent(tile.Name() + " calls " + called.name +
                 ", a kernel that is not registered");
  }
  if (kernel->second.accesses.size() != called.arguments.size()) {
    Inconsistent(tile.Name() + " calls " + called.name + " with " +
                 std::to_string(called.arguments.size()) + " arguments, it has " +
                 std::to_string(kernel->second.accesses.size()));
  }
  for (size_t i = 0; i < called.arguments.size(); ++i) {
    const Instruction::Argument& argument = instruction.arguments[i];
    const std::string where =
        tile.Name() + " calls " + called.name + " with argument " + std::to_string(i);
    const bool accesses = kernel->second.accesses[i] != Access::kNone;
    using Argument = Instruction::Argument;
    const bool is_scalar = argument.kind == Argument::kScalar;
    if (is_scalar != (called.arguments[i] < 0) || (accesses && is_scalar)) {
      Inconsistent(where + ", which is a buffer to one of them and not to all");
    }
    if (argument.kind != Argument::kBuffer) continue;  // a place is checked in a call
    const BufferInfo& buffer = configuration.buffers[argument.index];
    const int64_t bytes = configuration.types[called.arguments[i]].Bytes();
    if (buffer.bytes != bytes) {
      Inconsistent(where + " of " + std::to_string(bytes) + " bytes, buffer " +
                   buffer.name + " has " + std::to_string(buffer.bytes));
    }
  }
}

void Array::AddTracks() {
  controller->track = trace.AddTrack("controller", controller->Name());
  for (Agent* agent : Agents()) {
    if (agent == controller.get()) continue;
    const auto* dma = dynamic_cast<Channel*>(agent);
    agent->track = trace.AddTrack(dma ? std::string(dma->tile.kind) + " DMA" : "cores",
                                  agent->Name());
  }
}

Tile* Array::MemtileBeside(Tile& tile, int columns) {
  const int column = tile.at.column + columns;
  if (column == -1) return memtile_west.get();
  return column < limits.num_columns ? &At({column, tile.at.row}) : nullptr;
}

Tile& Array::At(TileAt at) {
  if (at.column < 0 || at.column >= limits.num_columns || at.row < 0 ||
      at.row >= limits.num_rows) {
    Inconsistent(configuration.device + " has no tile " + at.Text());
  }
  return tiles[at.column * limits.num_rows + at.row];
}

}  // namespace jax_npu::sim
