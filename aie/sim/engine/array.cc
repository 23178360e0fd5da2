#include "aie/sim/engine/array.h"

#include <utility>

namespace jax_npu::sim {
namespace {

// Bytes of memory that nothing has written: NaN in every type of floats, so that a
// kernel which reads what it says that it writes shows it.
constexpr int kGarbage = 0xFF;

}  // namespace

std::string Tile::Name() const { return std::string(kind) + ' ' + at.Text(); }

std::string Lock::Name() const {
  const std::string number = "lock " + std::to_string(id) + " of " + tile->Name();
  return name.empty() ? number : number + " '" + name + "'";
}

std::vector<Agent*> Array::Agents() const {
  std::vector<Agent*> agents = {controller.get()};
  for (const Tile& tile : tiles) {
    if (tile.core) agents.push_back(tile.core.get());
  }
  for (const Tile& tile : tiles) {
    for (const auto& channels : tile.channels) {
      for (const auto& channel : channels) {
        // A channel without a route can do nothing.
        if (!channel->routes.empty()) agents.push_back(channel.get());
      }
    }
  }
  return agents;
}

void Array::Reset() {
  scheduler.Clear();
  for (const auto& route : routes) route->Reset();
  for (Tile& tile : tiles) ResetTile(tile);
  if (memtile_west) ResetTile(*memtile_west);
  LoadBds();
  for (const BufferInfo& info : configuration.buffers) {
    if (!info.data.empty()) At(info.tile).memory->Load(info.address, info.data);
  }
  for (const StartInfo& info : configuration.starts) {
    At(info.tile).channels[info.direction][info.channel]->Push(
        {info.bd, info.repeats, false, 0});
  }
  for (Tile& tile : tiles) {
    if (tile.core) tile.core->Reset();
  }
  controller->is_done = true;
  ddr.Reset(scheduler.now());
}

void Array::ResetTile(Tile& tile) {
  if (tile.memory) {
    tile.memory->Reset(effect == Effect::kComputes ? kGarbage : 0);
    // Nothing else will be written there.
    if (effect == Effect::kOnlyTimed) tile.memory->MarkAllWritten();
  }
  for (Lock& lock : tile.locks) {
    lock.value = lock.init;
    lock.pending = 0;
    lock.queue.clear();
  }
  for (auto& channels : tile.channels) {
    for (auto& channel : channels) channel->Reset();
  }
  if (tile.control) tile.control->Reset();
  if (tile.stream_in) tile.stream_in->Reset();
  if (tile.stream_out) tile.stream_out->Reset();
  for (Bd& bd : tile.bds) bd = {};
}

bool Array::Acquire(Lock& lock, const LockDemand& demand, Agent& agent) {
  if (demand.IsMet(lock.value)) {
    lock.value -= demand.taken();
    return true;
  }
  // Its name outlives the agent, as the names of stalls must.
  agent.StartWait(Wait::kLock, lock.name.empty() ? "lock" : lock.name.c_str());
  agent.lock = &lock;
  agent.lock_demand = demand;
  agent.details.lock = agent.doing;
  agent.details.lock_value = lock.value;
  agent.details.lock_wanted = demand.value;
  lock.queue.push_back(&agent);
  return false;
}

void Array::Release(Lock& lock, int value, const Agent& by) {
  const int sum = lock.value + value;
  if (sum < 0 || sum > limits.max_lock_value) {
    Fail(by.Name() + " releases " + lock.Name() + " by " + std::to_string(value) +
         ", which brings it to " + std::to_string(sum) + ": a lock holds 0 to " +
         std::to_string(limits.max_lock_value));
  }
  SetLock(lock, sum, &by);
}

void Array::SetLock(Lock& lock, int value, const Agent* by) {
  lock.value = value;
  for (auto waiter = lock.queue.begin(); waiter != lock.queue.end();) {
    Agent& agent = **waiter;
    if (!agent.lock_demand.IsMet(lock.value)) {
      ++waiter;
      continue;
    }
    lock.value -= agent.lock_demand.taken();
    waiter = lock.queue.erase(waiter);
    agent.Stop();
    agent.Granted();
    if (by != nullptr) {
      trace.RecordFlow("lock", by->track, agent.track, scheduler.now());
    }
  }
}

void Array::BeginRun(std::vector<DeviceBuffer> buffers) {
  arguments = std::move(buffers);
  run = {};
  earlier_usage.clear();
  run.device = configuration.device;
  run.clock_hz = times.clock_hz;
  run.arithmetic = total.arithmetic;
  for (Agent* agent : Agents()) agent->TakeUsage();
  ddr.BeginRun();
  for (Tile& tile : tiles) {
    for (auto& channels : tile.channels) {
      for (auto& channel : channels) channel->BeginRun();
    }
    if (tile.limits != &limits.shim) continue;
    // An address that was patched before is that of an earlier run's buffer.
    for (Bd& bd : tile.bds) bd.is_patched = false;
  }
}

void Array::EndRun() {
  AddNotices();
  run.runs = 1;
  CountRun();
  total.Add(run);
}

void Array::CountRun() {
  run.cycles = scheduler.now() - controller->start_time;
  run.submission_seconds = controller->is_chained ? 0 : times.launch_seconds;
  for (Agent* agent : Agents()) {
    run.usage[agent->Name()] = agent->TakeUsage();
  }
  if (times.ddr_directions_shared) {
    run.usage["DDR"].busy = ddr.busy(0);
  } else {
    run.usage["DDR read"].busy = ddr.busy(kMm2s);
    run.usage["DDR write"].busy = ddr.busy(kS2mm);
  }
  for (const auto& [name, usage] : earlier_usage) run.usage[name].Add(usage);
  run.controller_cycles = run.usage[controller->Name()].busy;
}

void Array::Fail(const std::string& what) const {
  std::string when = "cycle " + std::to_string(scheduler.now());
  if (!controller->is_done) {
    when += ", stream at word " + std::to_string(controller->word);
  }
  throw Trap(what + " (" + when + ")");
}

}  // namespace jax_npu::sim
