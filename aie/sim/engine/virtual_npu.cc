#include "aie/sim/engine/virtual_npu.h"

#include <map>
#include <memory>
#include <utility>

#include "aie/sim/engine/array.h"

namespace jax_npu::sim {
namespace {

// After that many events in which no word was moved, no kernel called and no operation
// executed, a run is taken to hang.
constexpr int64_t kMaxIdleEvents = 1 << 21;

}  // namespace

struct VirtualNpu::State {
  std::unique_ptr<Array> array;
  // By the ids of their PDIs, and the design that was loaded first.
  std::map<int, Configuration> designs;
  std::unique_ptr<Array> first;  // null while it is `array`
  bool is_broken = false;
  Cycles stop_after = -1;

  void Run(const uint32_t* words, size_t num_words, bool is_chained) {
    array->controller->Start(words, num_words, is_chained);
    const Cycles limit =
        array->controller->start_time +
        static_cast<Cycles>(array->times.run_limit_seconds * array->times.clock_hz);
    int64_t progress = array->progress, idle_events = 0;
    while (!array->controller->is_done) {
      if (array->scheduler.is_empty()) array->Fail("deadlock: " + array->WhoWaits());
      if (stop_after >= 0 && array->scheduler.next_at() > stop_after) {
        throw Stopped("stopped after cycle " + std::to_string(stop_after) +
                      ", at word " + std::to_string(array->controller->word) +
                      " of the stream: " + array->WhoWaits());
      }
      array->scheduler.RunNext();
      if (array->scheduler.now() > limit) {
        array->Fail("the run takes more than " +
                    std::to_string(array->times.run_limit_seconds) +
                    " s of device time: " + array->WhoWaits());
      }
      if (array->controller->wanted_design >= 0) Load(array->controller->wanted_design);
      if (std::exchange(progress, array->progress) != progress) idle_events = 0;
      if (++idle_events > kMaxIdleEvents) {
        array->Fail("no progress: " + array->WhoWaits());
      }
    }
  }

  // Goes on with the run in an array of that design, as it is after loading.
  void Load(int id) {
    array->CountRun();
    auto next = std::make_unique<Array>(designs.at(id), array->kernels, array->effect,
                                        array->scheduler.now());
    next->arguments = array->arguments;
    next->run = array->run;
    next->run.usage.clear();
    next->earlier_usage = array->run.usage;
    next->total = array->total;
    next->loadable = array->loadable;
    next->progress = array->progress + 1;
    next->controller->ContinueFrom(*array->controller);
    if (!first) first = std::move(array);
    array = std::move(next);
  }
};

VirtualNpu::VirtualNpu(Configuration configuration,
                       std::shared_ptr<const KernelTable> kernels,
                       const std::string& arithmetic, Effect effect)
    : state_(new State) {
  state_->array =
      std::make_unique<Array>(std::move(configuration), std::move(kernels), effect);
  state_->array->total.arithmetic = arithmetic;
}

VirtualNpu::~VirtualNpu() = default;

void VirtualNpu::Run(const uint32_t* words, size_t num_words,
                     const std::vector<DeviceBuffer>& arguments, bool is_chained) {
  State& state = *state_;
  Array& array = *state.array;
  if (state_->is_broken) {
    throw Trap("the array is in an unknown state since its last trap; reset it");
  }
  if (arguments.size() > array.limits.max_arguments) {
    throw Trap("a run takes at most " + std::to_string(array.limits.max_arguments) +
               " buffers, got " + std::to_string(arguments.size()));
  }
  state.is_broken = true;  // stays so if the run traps
  array.BeginRun(arguments);
  try {
    state.Run(words, num_words, is_chained);
  } catch (const Trap&) {
    state.array->CountRun();  // what led there
    throw;
  }
  state.array->EndRun();
  state.is_broken = false;
}

void VirtualNpu::AddDesign(int pdi, Configuration configuration) {
  Array& array = *state_->array;
  if (configuration.device != array.configuration.device) {
    throw std::invalid_argument("PDI " + std::to_string(pdi) + " is a design for " +
                                configuration.device + ", not for " +
                                array.configuration.device);
  }
  // Made once to be checked.
  Array(configuration, array.kernels, array.effect);
  state_->designs[pdi] = std::move(configuration);
  array.loadable.insert(pdi);
}

void VirtualNpu::StopAfter(Cycles cycle) { state_->stop_after = cycle; }

std::string VirtualNpu::StateJson() const { return state_->array->StateJson(); }

DeviceBuffer VirtualNpu::Memory(int column, int row) const {
  TileMemory* memory = state_->array->At({column, row}).memory.get();
  if (memory == nullptr) return {nullptr, 0};
  return {memory->data(), static_cast<size_t>(memory->bytes())};
}

void VirtualNpu::Reset() {
  if (state_->first) {
    state_->first->total = state_->array->total;
    state_->array = std::move(state_->first);
  }
  state_->array->Reset();
  state_->is_broken = false;
}

const Report& VirtualNpu::last_run() const { return state_->array->run; }

const Report& VirtualNpu::total() const { return state_->array->total; }

void VirtualNpu::ClearReport() {
  Report& total = state_->array->total;
  Report cleared;
  cleared.device = total.device;
  cleared.arithmetic = total.arithmetic;
  cleared.clock_hz = total.clock_hz;
  total = std::move(cleared);
}

void VirtualNpu::StartTrace() { state_->array->trace.Start(); }

std::string VirtualNpu::TraceJson() const {
  return state_->array->trace.Json(state_->array->times.clock_hz);
}

}  // namespace jax_npu::sim
