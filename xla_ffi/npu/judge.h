// The verdict on a run's result: the check of verify/ on the buffers of the run.

#ifndef JAX_NPU_XLA_FFI_NPU_JUDGE_H_
#define JAX_NPU_XLA_FFI_NPU_JUDGE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "xla_ffi/driver/driver.h"
#include "xla_ffi/npu/gemm.h"
#include "xla_ffi/npu/images/images.h"
#include "xla_ffi/npu/verify/health.h"

namespace jax_npu {

// The windows of a run's images, and what they take on the device.
struct RunWindows {
  ImageWindow a, b;
  ResultWindow c;
  size_t c_bytes() const { return c.size() * sizeof(float); }
  size_t num_bytes() const { return a.num_bytes() + b.num_bytes() + c_bytes(); }
};

// The buffers of A, B and C, by NpuArgument.
using RunBuffers = std::vector<std::shared_ptr<NpuBuffer>>;

// Compares C with A and B, all on the host's side of the buffers, and tells the NPU's
// health what it found. Describes the mistake, or returns "".
std::string JudgeRun(const NpuGemmRequest& request, const RunBuffers& buffers,
                     const RunWindows& windows, NpuHealth& health);

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_JUDGE_H_
