#include "xla_ffi/npu/judge.h"

#include <atomic>
#include <cstdint>
#include <utility>

#include "xla_ffi/base/npu_events.h"
#include "xla_ffi/base/worker_threads.h"
#include "xla_ffi/npu/loaded_images.h"
#include "xla_ffi/npu/verify/check.h"
#include "xla_ffi/trace/parts.h"

namespace jax_npu {
namespace {

// Names the product by the shapes that the caller gave it.
std::string Describe(const NpuGemmRequest& request) {
  const Contraction& contraction = request.contraction;
  std::string m = std::to_string(contraction.m.size());
  std::string n = std::to_string(contraction.n.size());
  if (request.plan.swapped) std::swap(m, n);
  const std::string k = std::to_string(contraction.k.size());
  return "the NPU's product of (" + m + ", " + k + ") by (" + k + ", " + n +
         ") is wrong: ";
}

}  // namespace

std::string JudgeRun(const NpuGemmRequest& request, const RunBuffers& buffers,
                     const RunWindows& windows, NpuHealth& health) {
  static std::atomic<uint64_t> seed{0};  // other signs in every check
  CountEvent(&NpuEvents::checks);
  const PartTimer timer(Part::kCheck, windows.num_bytes());
  const int64_t padded_k = request.plan.padded_k;
  std::string mistake = FindMistake(
      {reinterpret_cast<const uint16_t*>(buffers[kA]->data()),
       reinterpret_cast<const uint16_t*>(buffers[kB]->data()),
       reinterpret_cast<const float*>(buffers[kC]->data()), windows.c.num_batches,
       windows.c.num_rows, padded_k, windows.c.num_columns, request.plan.a,
       request.plan.b, windows.a.size, windows.b.size},
      health.Rule(request.check.expected, padded_k), ++seed,
      IsLarge(windows.c.size()) ? LoopOn(TheWorkerThreads()) : kSerialLoop);
  if (mistake.empty() || request.check.stand_ins) {
    health.CountRight();
    return "";
  }
  mistake = Describe(request) + mistake;
  health.CountMistake(mistake);
  return mistake;
}

}  // namespace jax_npu
