#include "xla_ffi/npu/gemm.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "xla_ffi/base/hash.h"
#include "xla_ffi/base/npu_events.h"
#include "xla_ffi/base/worker_threads.h"
#include "xla_ffi/npu/fallback.h"
#include "xla_ffi/npu/gate.h"
#include "xla_ffi/npu/images/image_key.h"
#include "xla_ffi/npu/images/images.h"
#include "xla_ffi/npu/images/sync.h"
#include "xla_ffi/npu/judge.h"
#include "xla_ffi/npu/loaded_images.h"
#include "xla_ffi/npu/part_order.h"
#include "xla_ffi/npu/queue.h"
#include "xla_ffi/npu/verify/sentinel.h"
#include "xla_ffi/trace/parts.h"

namespace jax_npu {
namespace {

RunWindows WindowsOf(const NpuPlan& plan, const Contraction& contraction,
                     const NpuRun& run) {
  const int64_t m = run.grid[1] * plan.block_m, n = run.grid[2] * plan.block_n;
  const int64_t row = run.start[1] * plan.block_m;
  const int64_t column = run.start[2] * plan.block_n;
  const auto operand = [&](const ImageLayout& layout, int64_t first, int64_t left,
                           int64_t multiple, int64_t in_blocks) -> ImageWindow {
    const int64_t rounded = (left + multiple - 1) / multiple * multiple;
    const int64_t size = std::min(rounded, in_blocks);
    return {run.start[0],
            run.grid[0],
            first,
            size,
            plan.padded_k,
            NumPastEnd(layout, size, plan.padded_k, {plan.block_m, plan.block_n})};
  };
  return {operand(plan.a, row, contraction.m.size() - row, plan.m_multiple, m),
          operand(plan.b, column, contraction.n.size() - column, plan.n_multiple, n),
          {run.start[0], run.grid[0], row, m, column, n}};
}

// The parts of one operand that the passes over k multiply. Infinity times a lower
// part, which may be 0 or of either sign, is not what infinity times the value is: the
// product of first parts alone decides, so the others take 0 for what is not finite.
std::vector<Bf16Choice> Choices(const PartPairs& parts,
                                int PartPairs::value_type::* operand) {
  std::vector<Bf16Choice> choices;
  for (const auto& pair : parts) {
    const bool only_finite = parts.size() > 1 && pair.first + pair.second > 0;
    choices.push_back({pair.*operand, only_finite});
  }
  return choices;
}

ImageSource SourceOf(const NpuGemmRequest& request, bool is_a) {
  const Contraction& contraction = request.contraction;
  const Group &batch = contraction.batch, &k = contraction.k,
              &free = is_a ? contraction.m : contraction.n;
  Offsets Group::* const offsets = is_a ? &Group::lhs : &Group::rhs;
  const ImageLayout& layout = is_a ? request.plan.a : request.plan.b;
  std::vector<Bf16Choice> parts =
      Choices(request.parts,
              is_a ? &PartPairs::value_type::first : &PartPairs::value_type::second);
  ImageKey key =
      KeyOfOperand(is_a ? request.lhs_value : request.rhs_value,
                   {batch.loops, free.loops, k.loops, is_a ? &Axis::lhs : &Axis::rhs},
                   parts, layout);
  return {is_a ? request.lhs : request.rhs,
          batch.*offsets,
          free.*offsets,
          k.*offsets,
          std::move(parts),
          layout,
          std::move(key),
          request.execution};
}

// The product as the caller gave it.
ProductInfo InfoOf(const NpuGemmRequest& request) {
  static std::atomic<int64_t> number{0};
  const auto size = [](const Group& group) {
    return static_cast<int64_t>(group.size());
  };
  const Contraction& contraction = request.contraction;
  int64_t m = size(contraction.m), n = size(contraction.n);
  if (request.plan.swapped) std::swap(m, n);
  const auto num_passes = static_cast<int64_t>(request.parts.size());
  return {++number, size(contraction.batch), m, num_passes * size(contraction.k), n};
}
// What a run has computed, on its way to the host.
struct RunResult {
  std::shared_ptr<NpuBuffer> buffer;
  ResultWindow window;

  bool is_large() const { return IsLarge(window.size()); }
};

// One product while its runs are on the NPU. Their tasks share it; it ends with the
// last of them.
class NpuProduct : public std::enable_shared_from_this<NpuProduct> {
 public:
  NpuProduct(Driver& driver, NpuGemmRequest request,
             std::function<void(std::exception_ptr)> done)
      : driver_(driver),
        queue_(QueueOf(driver, request.backend)),
        request_(std::move(request)),
        info_(InfoOf(request_)),
        a_(SourceOf(request_, true)),
        b_(SourceOf(request_, false)),
        loaded_a_(driver_, queue_, kA),
        loaded_b_(driver_, queue_, kB),
        done_(std::move(done)),
        num_unfinished_(request_.plan.runs.size()) {}

  void Submit(const ParallelLoop& parallel) {
    const ProductScope scope(&info_);
    CountEvent(&NpuEvents::products);
    if (request_.check.stand_ins) CountEvent(&NpuEvents::stand_ins);
    const std::string problem = queue_.health().WhyUnhealthy();
    if (!problem.empty()) return done_(ComputeOnHost(request_, problem, parallel));
    const uint32_t* words = request_.words.data();
    size_t num_left = request_.plan.runs.size();
    try {
      for (const NpuRun& run : request_.plan.runs) {
        SubmitRun(run, words, parallel);
        words += run.num_words;
        --num_left;
      }
    } catch (...) {
      Fail(std::current_exception());
    }
    loaded_a_.Forget();
    loaded_b_.Forget();
    if (num_left > 0) queue_.ResetIfLost();
    for (; num_left > 0; --num_left) EndRun();
  }

 private:
  void SubmitRun(const NpuRun& run, const uint32_t* words,
                 const ParallelLoop& parallel) {
    const RunWindows windows = WindowsOf(request_.plan, request_.contraction, run);
    {
      const PartTimer timer(Part::kRoom, windows.num_bytes());
      TheGate().Enter(windows.num_bytes());
    }
    try {
      queue_.Submit(MakeTask(run, words, windows, parallel));
      CountEvent(&NpuEvents::runs);
    } catch (...) {
      TheGate().Leave(windows.num_bytes());
      throw;
    }
  }

  // Loads the operands and decides whether the result is checked.
  NpuTask MakeTask(const NpuRun& run, const uint32_t* words, const RunWindows& windows,
                   const ParallelLoop& parallel) {
    RunBuffers buffers = {loaded_a_.Load(a_, windows.a, parallel),
                          loaded_b_.Load(b_, windows.b, parallel),
                          Allocate(driver_, queue_, kC, windows.c_bytes())};
    const uint64_t shape = ShapeOf(run, words);
    const bool is_checked = queue_.health().ShouldCheck(request_.check.mode, shape);
    if (is_checked) {
      NpuBuffer& c = *buffers[kC];
      {
        const PartTimer timer(Part::kCheck, windows.c_bytes());
        FillSentinel(reinterpret_cast<float*>(c.data()), windows.c.size(), parallel);
      }
      SyncToDevice(c, windows.c_bytes(), parallel);
    }
    NpuTask task;
    task.run = {words, static_cast<size_t>(run.num_words), buffers};
    task.self_test = request_.check.self_test;
    task.product = info_;
    task.num_bytes = windows.num_bytes();
    const auto result = std::make_shared<RunResult>(RunResult{buffers[kC], windows.c});
    task.finish = [self = shared_from_this(), buffers = std::move(buffers), windows,
                   is_checked, result] {
      return self->Finish(buffers, windows, is_checked, *result);
    };
    if (result->is_large()) {
      task.take = [self = shared_from_this(), result] {
        self->Unpack(*result, LoopOn(TheWorkerThreads()));
      };
    }
    task.done = [self = shared_from_this(), num_bytes = windows.num_bytes(), shape,
                 is_checked](std::exception_ptr error) {
      TheGate().Leave(num_bytes);
      if (error && is_checked) self->queue_.health().ForgetShape(shape);
      if (error) self->Fail(error);
      self->EndRun();
    };
    return task;
  }

  // Another run of the array in the product, or other instructions, are another shape.
  uint64_t ShapeOf(const NpuRun& run, const uint32_t* words) const {
    const uint64_t index = &run - request_.plan.runs.data();
    Hash hash(request_.shape + index);
    for (int64_t i = 0; i < run.num_words; ++i) hash.Add(words[i]);
    return hash.value();
  }

  // Returns false where the result is checked and wrong. A mistake in an earlier result
  // has this one checked too; only the sentinel is then missing. Takes a small result;
  // a large one is left to the worker threads.
  bool Finish(const RunBuffers& buffers, const RunWindows& windows, bool was_chosen,
              RunResult& result) {
    const ProductScope scope(&info_);
    // Here, where a device that was lost meanwhile has the run repeated.
    SyncFromDevice(*result.buffer, windows.c_bytes(),
                   result.is_large() ? LoopOn(TheWorkerThreads()) : kSerialLoop);
    const bool is_checked = was_chosen || (request_.check.mode != CheckMode::kOff &&
                                           queue_.health().IsSuspicious());
    if (is_checked) {
      std::string mistake = JudgeRun(request_, buffers, windows, queue_.health());
      if (!mistake.empty()) {
        const std::lock_guard<std::mutex> lock(mutex_);
        mistake_ = std::move(mistake);
        return false;
      }
    }
    if (!result.is_large()) Unpack(result, kSerialLoop);
    return true;
  }

  void Unpack(RunResult& result, const ParallelLoop& parallel) {
    const ProductScope scope(&info_);
    const auto* c = reinterpret_cast<const float*>(result.buffer->data());
    UnpackResult(c, result.window, request_.contraction, request_.out, parallel);
    result.buffer = nullptr;  // for the next run
  }

  void Fail(std::exception_ptr error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    try {
      std::rethrow_exception(error);
    } catch (const UnhealthyNpu& unhealthy) {
      problem_ = unhealthy.what();
    } catch (...) {
      if (!error_) error_ = std::move(error);
    }
  }

  // The last run's end concludes the product; no other thread touches it then.
  void EndRun() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (--num_unfinished_ > 0) return;
    }
    if (!error_ && !mistake_.empty()) {
      error_ = RecomputeOnHost(request_, mistake_);
    } else if (!error_ && !problem_.empty()) {
      error_ = ComputeOnHost(request_, problem_, kSerialLoop);
    }
    done_(error_);
  }

  Driver& driver_;
  NpuQueue& queue_;
  const NpuGemmRequest request_;
  const ProductInfo info_;
  const ImageSource a_, b_;
  LoadedImage loaded_a_, loaded_b_;  // used by the thread that submits
  const std::function<void(std::exception_ptr)> done_;

  std::mutex mutex_;  // guards what follows
  size_t num_unfinished_;
  std::exception_ptr error_;  // the first run that was given up
  std::string mistake_;       // in a result
  std::string problem_;       // why the NPU is unhealthy
};

}  // namespace

void NpuGemm(Driver& driver, NpuGemmRequest request, const ParallelLoop& parallel,
             std::function<void(std::exception_ptr)> done) {
  if (request.plan.swapped) {
    request.contraction = SwapOperands(std::move(request.contraction));
    request.parts = SwapOperands(std::move(request.parts));
    std::swap(request.lhs, request.rhs);
    std::swap(request.lhs_value, request.rhs_value);
  }
  request.parts = OrderParts(std::move(request.parts), request.contraction, request.lhs,
                             request.rhs);
  std::make_shared<NpuProduct>(driver, std::move(request), std::move(done))
      ->Submit(parallel);
}

}  // namespace jax_npu
