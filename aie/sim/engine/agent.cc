#include "aie/sim/engine/agent.h"

#include <algorithm>

#include "aie/sim/engine/array.h"

namespace jax_npu::sim {

void Agent::StartWait(Wait wait, const char* cause) {
  Stop();
  waiting = wait;
  doing = cause;
}

void Agent::StartWork(const char* what) { StartWait(Wait::kNothing, what); }

void Agent::Stop() {
  const Cycles now = array.scheduler.now();
  const Cycles cycles = now - std::exchange(doing_since, now);
  const char* did = std::exchange(doing, nullptr);
  const bool worked = std::exchange(waiting, Wait::kNothing) == Wait::kNothing;
  const Trace::Details of_it = std::exchange(details, {});
  lock = nullptr;
  if (did == nullptr || cycles == 0) return;
  array.trace.Record(track, did, now - cycles, now, of_it);
  if (worked) {
    usage.busy += cycles;
    return;
  }
  // Causes are few and compared as pointers, which is faster than a map of strings.
  const auto found = std::find_if(stalls.begin(), stalls.end(),
                                  [&](const auto& s) { return s.first == did; });
  if (found == stalls.end()) {
    stalls.emplace_back(did, cycles);
  } else {
    found->second += cycles;
  }
}

Usage Agent::TakeUsage() {
  const Wait wait = waiting;
  const char* did = doing;
  Lock* waited = lock;
  const Trace::Details of_it = details;
  StartWait(wait, did);  // counts until now and continues with the same
  lock = waited;
  details = of_it;
  Usage taken = std::exchange(usage, {});
  for (const auto& [name, cycles] : stalls) taken.stalls[name] += cycles;
  stalls.clear();
  return taken;
}

}  // namespace jax_npu::sim
