#include "xla_ffi/optimizer/adamw.h"

#include <algorithm>

#include "xla_ffi/base/counters.h"
#include "xla_ffi/host/isa/instruction_set.h"

namespace jax_npu {
namespace {

// Elements that a thread takes at a time, 256 KiB of the arrays that are read. A power
// of two, so that vectors begin where those of the whole array do.
constexpr int64_t kChunk = 1 << 14;

const AdamWKernels& SelectKernels() {
  switch (SelectHostKernels().num_lanes) {
#if defined(__x86_64__)
    case 16:
      return kAvx512AdamW;
    case 8:
      return kAvx2AdamW;
#endif
    default:
      return kPortableAdamW;
  }
}

AdamWJob PartOf(const AdamWJob& job, int64_t first) {
  return {job.param ? job.param + first : nullptr,
          job.grad + first,
          job.mu + first,
          job.nu + first,
          job.out + first,
          job.new_mu + first,
          job.new_nu + first,
          job.image ? job.image + first : nullptr,
          std::min(kChunk, job.size - first)};
}

}  // namespace

void AdamW(const AdamWJob& job, const AdamWKind& kind, const AdamWScalars& scalars,
           const ParallelLoop& parallel) {
  const AdamWKernels& kernels = SelectKernels();
  const AdamWKernel kernel = job.image ? kernels.with_image[kind.decays]
                                       : kernels.of_kind[kind.decays][kind.applies];
  parallel((job.size + kChunk - 1) / kChunk, [&](int64_t chunk) {
    const Stopwatch stopwatch(TheCounters().optimizer_ns);
    kernel(PartOf(job, chunk * kChunk), scalars);
  });
  const int64_t num_arrays = kind.ReadsParam() ? 7 : 6;
  const int64_t image_bytes = job.image ? sizeof(*job.image) : 0;
  const int64_t bytes = num_arrays * sizeof(float) + image_bytes;  // of an element
  Count(TheCounters().optimizer_bytes, bytes * job.size);
}

}  // namespace jax_npu
