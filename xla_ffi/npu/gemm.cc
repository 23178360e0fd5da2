#include "xla_ffi/npu/gemm.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "xla_ffi/base/hash.h"
#include "xla_ffi/npu/events.h"
#include "xla_ffi/npu/images.h"
#include "xla_ffi/npu/queue.h"

namespace jax_npu {
namespace {
#include "xla_ffi/base/bf16.inc"

constexpr int kA = 0, kB = 1, kC = 2;
constexpr int kMaxAllocations = 4;  // attempts
// Of the images that wait for the NPU, in a process: packing more would only take
// memory.
constexpr size_t kMaxWaitingBytes = size_t{256} << 20;

// Lets as many bytes in at a time, or one request that is larger.
class Gate {
 public:
  void Enter(size_t num_bytes) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] {
      return num_bytes_ == 0 || num_bytes_ + num_bytes <= kMaxWaitingBytes;
    });
    num_bytes_ += num_bytes;
  }

  void Leave(size_t num_bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    num_bytes_ -= num_bytes;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t num_bytes_ = 0;
};

Gate& TheGate() {
  static Gate& gate = *new Gate;  // ends with the process
  return gate;
}

// Lives until its last run is done; they share it.
class Gemm : public std::enable_shared_from_this<Gemm> {
 public:
  Gemm(Driver& driver, NpuGemmRequest request,
       std::function<void(std::exception_ptr)> done)
      : driver_(driver),
        queue_(QueueOf(driver, request.backend)),
        request_(std::move(request)),
        a_{request_.lhs,
           request_.contraction.batch.lhs,
           request_.contraction.m.lhs,
           request_.contraction.k.lhs,
           {},
           false},
        b_{request_.rhs,
           request_.contraction.batch.rhs,
           request_.contraction.n.rhs,
           request_.contraction.k.rhs,
           {},
           !request_.plan.b_column_major},
        done_(std::move(done)),
        num_unfinished_(request_.plan.runs.size()) {
    for (const auto& [lhs_part, rhs_part] : request_.parts) {
      // Infinity times a lower part, which may be 0 or of either sign, is not what
      // infinity times the value is: the product of first parts alone decides.
      const bool only_finite = request_.parts.size() > 1 && lhs_part + rhs_part > 0;
      a_.parts.push_back({lhs_part, only_finite});
      b_.parts.push_back({rhs_part, only_finite});
    }
  }

  void Submit(const ParallelLoop& parallel) {
    CountEvent(&NpuEvents::products);
    const std::string problem = queue_.health().WhyUnhealthy();
    if (!problem.empty()) {
      ComputeOnHost(problem, parallel);
      return done_(error_);
    }
    const uint32_t* words = request_.words.data();
    int64_t num_left = request_.plan.runs.size();
    try {
      for (const NpuRun& run : request_.plan.runs) {
        Submit(run, words, parallel);
        words += run.num_words;
        --num_left;
      }
    } catch (...) {
      Fail(std::current_exception());
    }
    loaded_[kA] = loaded_[kB] = {};
    for (; num_left > 0; --num_left) EndRun();
  }

 private:
  struct Image {
    ImageWindow window;
    std::shared_ptr<NpuBuffer> buffer;
  };

  void Submit(const NpuRun& run, const uint32_t* words, const ParallelLoop& parallel) {
    const NpuPlan& plan = request_.plan;
    const int64_t m = run.grid[1] * plan.block_m, n = run.grid[2] * plan.block_n;
    const int64_t row = run.start[1] * plan.block_m;
    const int64_t column = run.start[2] * plan.block_n;
    const ResultWindow window = {run.start[0], run.grid[0], row, m, column, n};
    const ImageWindow a = {run.start[0], run.grid[0], row, m, plan.padded_k};
    const ImageWindow b = {run.start[0], run.grid[0], column, n, plan.padded_k};
    const size_t c_bytes = window.size() * sizeof(float);
    const size_t num_bytes = a.num_bytes() + b.num_bytes() + c_bytes;

    TheGate().Enter(num_bytes);
    try {
      std::vector<std::shared_ptr<NpuBuffer>> arguments = {
          Load(kA, a_, a, parallel), Load(kB, b_, b, parallel), Allocate(kC, c_bytes)};
      const uint64_t shape = ShapeOf(run, words);
      const bool is_checked = queue_.health().ShouldCheck(request_.check.mode, shape);
      if (is_checked) {
        NpuBuffer& c = *arguments[kC];
        FillSentinel(reinterpret_cast<float*>(c.data()), window.size());
        c.SyncToDevice(c_bytes);
      }
      NpuTask task{{words, static_cast<size_t>(run.num_words), arguments},
                   request_.check.self_test,
                   {},
                   {}};
      task.finish = [self = shared_from_this(), arguments, window, is_checked] {
        return self->Finish(arguments, window, is_checked);
      };
      task.done = [self = shared_from_this(), num_bytes, shape,
                   is_checked](std::exception_ptr error) {
        TheGate().Leave(num_bytes);
        if (error && is_checked) self->queue_.health().ForgetShape(shape);
        if (error) self->Fail(error);
        self->EndRun();
      };
      queue_.Submit(std::move(task));
      CountEvent(&NpuEvents::runs);
    } catch (...) {
      TheGate().Leave(num_bytes);
      throw;
    }
  }

  // An image on the device: that of the run before, or a new one.
  std::shared_ptr<NpuBuffer> Load(int argument, const ImageSource& source,
                                  const ImageWindow& window,
                                  const ParallelLoop& parallel) {
    Image& loaded = loaded_[argument];
    if (loaded.buffer && loaded.window == window) return loaded.buffer;
    loaded = {window, Allocate(argument, window.num_bytes())};
    PackOperand(source, window, reinterpret_cast<uint16_t*>(loaded.buffer->data()),
                parallel);
    loaded.buffer->SyncToDevice(window.num_bytes());
    return loaded.buffer;
  }

  std::shared_ptr<NpuBuffer> Allocate(int argument, size_t num_bytes) {
    for (int attempt = 1;; ++attempt) {
      try {
        return driver_.Allocate(argument, num_bytes);
      } catch (const std::exception& error) {
        if (attempt == kMaxAllocations) throw;
        ReportEvent(&NpuEvents::retries,
                    std::string(error.what()) + "; it is tried again");
      }
      // Until others give theirs back.
      queue_.Drain(std::chrono::milliseconds(500));
      std::this_thread::sleep_for(std::chrono::milliseconds(10 * attempt));
    }
  }

  // Another run of the array in the product, or other instructions, are another shape.
  uint64_t ShapeOf(const NpuRun& run, const uint32_t* words) const {
    const uint64_t index = &run - request_.plan.runs.data();
    Hash hash(request_.shape + index);
    for (int64_t i = 0; i < run.num_words; ++i) hash.Add(words[i]);
    return hash.value();
  }

  // Whether the result, if it is checked, is right. A mistake in a result before this
  // one makes it one to check too; only the sentinel is then missing.
  bool Finish(const std::vector<std::shared_ptr<NpuBuffer>>& arguments,
              const ResultWindow& window, bool was_to_be_checked) {
    arguments[kC]->SyncFromDevice(window.size() * sizeof(float));
    const bool is_checked =
        was_to_be_checked ||
        (request_.check.mode != CheckMode::kOff && queue_.health().IsSuspicious());
    if (is_checked && !Check(arguments, window)) return false;
    const auto* c = reinterpret_cast<const float*>(arguments[kC]->data());
    UnpackResult(c, window, request_.contraction, request_.out, kSerialLoop);
    return true;
  }

  bool Check(const std::vector<std::shared_ptr<NpuBuffer>>& arguments,
             const ResultWindow& window) {
    static std::atomic<uint64_t> seed{0};
    CountEvent(&NpuEvents::checks);
    const int64_t padded_k = request_.plan.padded_k;
    const std::string mistake = FindMistake(
        {reinterpret_cast<const uint16_t*>(arguments[kA]->data()),
         reinterpret_cast<const uint16_t*>(arguments[kB]->data()),
         reinterpret_cast<const float*>(arguments[kC]->data()), window.num_batches,
         window.num_rows, padded_k, window.num_columns, request_.plan.b_column_major},
        queue_.health().Rule(request_.check.expected, padded_k), ++seed);
    if (mistake.empty()) {
      queue_.health().CountRight();
      return true;
    }
    const std::string what = What() + mistake;
    queue_.health().CountMistake(what);
    const std::lock_guard<std::mutex> lock(mutex_);
    mistake_ = what;
    return false;
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

  void EndRun() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (--num_unfinished_ > 0) return;
    }
    if (!error_ && !mistake_.empty()) {
      if (!request_.check.strict) {
        ReportEvent(&NpuEvents::host_products, mistake_ + "; the host computes it");
      }
      ComputeOnHost(mistake_ + "; run 'jax-npu doctor'", kSerialLoop, false);
    } else if (!error_ && !problem_.empty()) {
      ComputeOnHost(problem_, kSerialLoop);
    }
    done_(error_);
  }

  std::string What() const {
    const Contraction& contraction = request_.contraction;
    std::string m = std::to_string(contraction.m.size());
    std::string n = std::to_string(contraction.n.size());
    if (request_.plan.swapped) std::swap(m, n);
    const std::string k = std::to_string(contraction.k.size());
    return "the NPU's product of (" + m + ", " + k + ") by (" + k + ", " + n +
           ") is wrong: ";
  }

  // Instead of the NPU; with `strict` the reason is the error.
  void ComputeOnHost(const std::string& reason, const ParallelLoop& parallel,
                     bool counts = true) {
    try {
      if (request_.check.strict) {
        throw std::runtime_error(
            reason + ", or unset JAX_NPU_STRICT to have the host compute it");
      }
      if (counts) CountEvent(&NpuEvents::host_products);
      HostGemm(request_.contraction, request_.parts, request_.lhs, request_.rhs,
               request_.out, parallel);
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  Driver& driver_;
  NpuQueue& queue_;
  const NpuGemmRequest request_;
  ImageSource a_, b_;
  Image loaded_[2];  // of the thread that submits
  const std::function<void(std::exception_ptr)> done_;

  std::mutex mutex_;
  size_t num_unfinished_;
  std::exception_ptr error_;
  std::string mistake_;  // in a result
  std::string problem_;  // of an unhealthy NPU
};

// The largest biased exponent of the finite values.
uint32_t LargestExponent(Operand operand, int64_t size) {
  constexpr uint32_t kMask = 0x7F800000u;
  uint32_t largest = 0;
  const auto scan = [&](const auto* data) {
    for (int64_t i = 0; i < size; ++i) {
      const uint32_t exponent = LoadBits(data + i) & kMask;
      largest = std::max(largest, exponent == kMask ? 0 : exponent);
    }
  };
  if (operand.dtype == DType::kF32) {
    scan(static_cast<const float*>(operand.data));
  } else {
    scan(static_cast<const uint16_t*>(operand.data));
  }
  return largest >> 23;
}

// The product of first parts comes last, which is most accurate. But where a sum of
// lower products may overflow, it comes first: an infinity of the wrong sign would
// stay.
PartPairs Ordered(PartPairs parts, const Contraction& contraction, Operand lhs,
                  Operand rhs) {
  if (parts.size() == 1) return parts;
  const int64_t k = contraction.k.size(), batch = contraction.batch.size();
  const double largest = LargestExponent(lhs, batch * contraction.m.size() * k) +
                         LargestExponent(rhs, batch * contraction.n.size() * k) +
                         std::log2(parts.size() * k);
  // Both exponents have a bias of 127, mantissas are below 2, and one of the factors is
  // at most 2^-8 of its value.
  if (largest - 2 * 127 + 2 - 8 >= 127) {
    std::rotate(parts.begin(), parts.end() - 1, parts.end());
  }
  return parts;
}

PartPairs Swapped(PartPairs parts) {
  for (auto& [lhs, rhs] : parts) std::swap(lhs, rhs);
  return parts;
}

}  // namespace

void NpuGemm(Driver& driver, NpuGemmRequest request, const ParallelLoop& parallel,
             std::function<void(std::exception_ptr)> done) {
  if (request.plan.swapped) {
    request.contraction = SwapOperands(std::move(request.contraction));
    request.parts = Swapped(std::move(request.parts));
    std::swap(request.lhs, request.rhs);
  }
  request.parts =
      Ordered(std::move(request.parts), request.contraction, request.lhs, request.rhs);
  const auto gemm = std::make_shared<Gemm>(driver, std::move(request), std::move(done));
  gemm->Submit(parallel);
}

}  // namespace jax_npu
