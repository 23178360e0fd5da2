// Events in the order of their time.

#ifndef JAX_NPU_AIE_SIM_ENGINE_SCHEDULER_H_
#define JAX_NPU_AIE_SIM_ENGINE_SCHEDULER_H_

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "aie/sim/report/cycles.h"

namespace jax_npu::sim {

class Scheduler {
 public:
  explicit Scheduler(Cycles now) : now_(now) {}

  Cycles now() const { return now_; }
  Cycles next_at() const { return events_.top().at; }  // if it is not empty
  bool is_empty() const { return events_.empty(); }

  // Calls `event` after `delay` cycles. Events at the same time run in the order in
  // which they were scheduled.
  void In(Cycles delay, std::function<void()> event) {
    events_.push({now_ + delay, order_++, std::move(event)});
  }

  void RunNext() {
    // The event may schedule others, so it has to leave the queue first.
    const std::function<void()> run = std::move(const_cast<Event&>(events_.top()).run);
    now_ = events_.top().at;
    events_.pop();
    run();
  }

  void Clear() { events_ = {}; }

 private:
  struct Event {
    Cycles at;
    uint64_t order;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };

  Cycles now_;
  uint64_t order_ = 0;
  std::priority_queue<Event> events_;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_SCHEDULER_H_
