// The message of a deadlock: which agents wait for one another.
#include <algorithm>

#include "aie/sim/engine/array.h"

namespace jax_npu::sim {
namespace {

std::string Need(const Agent& agent) {
  return agent.lock->Name() + (agent.lock_demand.equal ? " = " : " >= ") +
         std::to_string(agent.lock_demand.value) + " (it is " +
         std::to_string(agent.lock->value) + ")";
}

bool Releases(const Array& array, const Core& core, const Lock* lock) {
  return std::any_of(core.info.program.begin(), core.info.program.end(),
                     [&](const Instruction& i) {
                       return i.op == Op::kRelease && array.locks[i.lock] == lock;
                     });
}

bool Releases(const Channel& channel, const Lock* lock) {
  for (size_t id = 0; id < channel.tile.bds.size(); ++id) {
    if (channel.tile.bds[id].release == lock && channel.Uses(static_cast<int>(id))) {
      return true;
    }
  }
  return false;
}

// The agents that keep a port's words from moving. A core stands for its streams.
std::vector<const Agent*> StreamBlockers(const StreamPort& port) {
  std::vector<const Agent*> blockers;
  const auto add = [&](const StreamPort* blocker) {
    if (blocker == &port) return;
    const auto* stream = dynamic_cast<const CoreStream*>(blocker);
    blockers.push_back(stream ? static_cast<const Agent*>(stream->tile.core.get())
                              : blocker);
  };
  for (const Route* route : port.routes) {
    const StreamPort* source = route->source;
    if (source == &port && source->route != route) continue;
    if (!source->is_ready || source->route != route) add(source);
    for (const Route::End& end : route->ends) {
      if (!end.port->is_ready) add(end.port);
      const Route* taken_by = end.port->taken_by;
      if (taken_by && taken_by != route) add(taken_by->source);
    }
  }
  return blockers;
}

// The agents each of which could end this one's wait.
std::vector<const Agent*> Blockers(const Array& array, const Agent& agent) {
  std::vector<const Agent*> blockers;
  const Controller& controller = *array.controller;
  if (agent.waiting == Wait::kToken) {
    for (const Channel* channel : controller.AwaitedChannels()) {
      if (channel->tokens.empty()) blockers.push_back(channel);
    }
  } else if (agent.waiting == Wait::kTask) {
    blockers.push_back(&controller);
  } else if (agent.waiting == Wait::kStream) {
    const auto* core = dynamic_cast<const Core*>(&agent);
    if (core && core->awaited_core) return {core->awaited_core};
    return StreamBlockers(core ? *core->awaited
                               : static_cast<const StreamPort&>(agent));
  } else if (agent.waiting == Wait::kLock) {
    for (const Agent* other : array.Agents()) {
      const auto* core = dynamic_cast<const Core*>(other);
      const auto* channel = dynamic_cast<const Channel*>(other);
      if ((core && Releases(array, *core, agent.lock)) ||
          (channel && Releases(*channel, agent.lock))) {
        blockers.push_back(other);
      }
    }
    if (blockers.empty()) blockers.push_back(&controller);  // it may set the lock
  }
  return blockers;
}

std::string Describe(const Agent& agent) {
  if (dynamic_cast<const TraceUnit*>(&agent)) return agent.Name() + " sends nothing";
  if (dynamic_cast<const ControlAnswers*>(&agent)) return "no " + agent.Name();
  switch (agent.waiting) {
    case Wait::kNothing:
    case Wait::kLatency:
      return agent.Name() + " is at work";
    case Wait::kTask:
      return agent.Name() + " waits for a task";
    case Wait::kLock:
      return agent.Name() + " waits for " + Need(agent);
    case Wait::kStream: {
      const auto* channel = dynamic_cast<const Channel*>(&agent);
      const std::string bd = channel ? " BD " + std::to_string(channel->bd) : "";
      const auto* core = dynamic_cast<const Core*>(&agent);
      const bool is_cascade = core && core->awaited_core;
      return agent.Name() + bd + " waits for its " +
             (is_cascade ? "cascade" : "stream");
    }
    case Wait::kToken:
      return "the controller waits at word " +
             std::to_string(static_cast<const Controller&>(agent).word) +
             " for a token";
    case Wait::kFinished:
      return agent.Name() + " has ended";
  }
  return agent.Name();
}

// Searches depth first for blockers that lead from the last agent of `path` back to one
// of its agents. Leaves that cycle in `path`; without one, `deepest` is the longest
// path.
bool FindCycle(const Array& array, std::vector<const Agent*>& path,
               std::vector<const Agent*>& deepest, std::vector<const Agent*>& visited) {
  visited.push_back(path.back());
  if (path.size() > deepest.size()) deepest = path;
  for (const Agent* blocker : Blockers(array, *path.back())) {
    const auto begin = std::find(path.begin(), path.end(), blocker);
    if (begin != path.end()) {
      path.erase(path.begin(), begin);
      path.push_back(blocker);
      return true;
    }
    if (std::find(visited.begin(), visited.end(), blocker) != visited.end()) continue;
    path.push_back(blocker);
    if (FindCycle(array, path, deepest, visited)) return true;
    path.pop_back();
  }
  return false;
}

}  // namespace

std::string Array::WhoWaits() const {
  std::vector<const Agent*> path = {controller.get()}, deepest, visited;
  const bool is_cycle = FindCycle(*this, path, deepest, visited);
  if (!is_cycle) path = deepest;
  std::string text;
  for (size_t i = 0; i < path.size(); ++i) {
    if (i > 0) text += ", for ";
    const bool closes = is_cycle && i + 1 == path.size();
    text += closes ? path[i]->Name() + " again" : Describe(*path[i]);
  }
  return text;
}

}  // namespace jax_npu::sim
