#include "aie/sim/engine/virtual_npu.h"

#include <utility>

#include "aie/sim/engine/array.h"

namespace jax_npu::sim {
namespace {

// After that many events in which no word was moved, no kernel called and no operation
// executed, a run is taken to hang.
constexpr int64_t kMaxIdleEvents = 1 << 21;

}  // namespace

struct VirtualNpu::State {
  Array array;
  bool is_broken = false;
  Cycles stop_after = -1;

  void Run(const uint32_t* words, size_t num_words, bool is_chained) {
    Controller& controller = *array.controller;
    controller.Start(words, num_words, is_chained);
    const Cycles limit =
        controller.start_time +
        static_cast<Cycles>(array.times.run_limit_seconds * array.times.clock_hz);
    int64_t progress = array.progress, idle_events = 0;
    while (!controller.is_done) {
      if (array.scheduler.is_empty()) array.Fail("deadlock: " + array.WhoWaits());
      if (stop_after >= 0 && array.scheduler.next_at() > stop_after) {
        throw Stopped("stopped after cycle " + std::to_string(stop_after) +
                      ", at word " + std::to_string(controller.word) +
                      " of the stream: " + array.WhoWaits());
      }
      array.scheduler.RunNext();
      if (array.scheduler.now() > limit) {
        array.Fail("the run takes more than " +
                   std::to_string(array.times.run_limit_seconds) +
                   " s of device time: " + array.WhoWaits());
      }
      if (std::exchange(progress, array.progress) != progress) idle_events = 0;
      if (++idle_events > kMaxIdleEvents) {
        array.Fail("no progress: " + array.WhoWaits());
      }
    }
  }
};

VirtualNpu::VirtualNpu(Configuration configuration,
                       std::shared_ptr<const KernelTable> kernels,
                       const std::string& arithmetic, Effect effect)
    : state_(new State{{std::move(configuration), std::move(kernels), effect}}) {
  state_->array.total.arithmetic = arithmetic;
}

VirtualNpu::~VirtualNpu() = default;

void VirtualNpu::Run(const uint32_t* words, size_t num_words,
                     const std::vector<DeviceBuffer>& arguments, bool is_chained) {
  Array& array = state_->array;
  if (state_->is_broken) {
    throw Trap("the array is in an unknown state since its last trap; reset it");
  }
  if (arguments.size() > array.limits.max_arguments) {
    throw Trap("a run takes at most " + std::to_string(array.limits.max_arguments) +
               " buffers, got " + std::to_string(arguments.size()));
  }
  state_->is_broken = true;  // stays so if the run traps
  array.BeginRun(arguments);
  try {
    state_->Run(words, num_words, is_chained);
  } catch (const Trap&) {
    array.CountRun();  // what led there
    throw;
  }
  array.EndRun();
  state_->is_broken = false;
}

void VirtualNpu::StopAfter(Cycles cycle) { state_->stop_after = cycle; }

std::string VirtualNpu::StateJson() const { return state_->array.StateJson(); }

DeviceBuffer VirtualNpu::Memory(int column, int row) const {
  TileMemory* memory = state_->array.At({column, row}).memory.get();
  if (memory == nullptr) return {nullptr, 0};
  return {memory->data(), static_cast<size_t>(memory->bytes())};
}

void VirtualNpu::Reset() {
  state_->array.Reset();
  state_->is_broken = false;
}

const Report& VirtualNpu::last_run() const { return state_->array.run; }

const Report& VirtualNpu::total() const { return state_->array.total; }

void VirtualNpu::ClearReport() {
  Report& total = state_->array.total;
  Report cleared;
  cleared.device = total.device;
  cleared.arithmetic = total.arithmetic;
  cleared.clock_hz = total.clock_hz;
  total = std::move(cleared);
}

void VirtualNpu::StartTrace() { state_->array.trace.Start(); }

std::string VirtualNpu::TraceJson() const {
  return state_->array.trace.Json(state_->array.times.clock_hz);
}

}  // namespace jax_npu::sim
