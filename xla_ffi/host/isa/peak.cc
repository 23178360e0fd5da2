// The most FLOP/s that this machine can reach, with which a GEMM's speed is compared.

#include <chrono>
#include <thread>
#include <vector>

#include "xla_ffi/host/isa/instruction_set.h"

#pragma GCC visibility push(default)
extern "C" double jax_npu_host_peak_flops(int num_threads, double seconds);
#pragma GCC visibility pop

namespace jax_npu {
namespace {

using Clock = std::chrono::steady_clock;

// The FLOP/s of one thread that multiplies registers for so long.
double Spin(const HostKernels& kernels, double seconds) {
  constexpr int64_t kIterations = 20000;
  if (kernels.enter) kernels.enter();
  int64_t num_flops = 0;
  double passed = 0;
  const auto start = Clock::now();
  do {
    num_flops += kernels.spin(kIterations);
    passed = std::chrono::duration<double>(Clock::now() - start).count();
  } while (passed < seconds);
  if (kernels.leave) kernels.leave();
  return num_flops / passed;
}

}  // namespace
}  // namespace jax_npu

// The FLOP/s of that many threads together, with the instructions of the host GEMM.
// Call it only after jax_npu_host_isa has succeeded: it has no way to report an error.
double jax_npu_host_peak_flops(int num_threads, double seconds) {
  const jax_npu::HostKernels& kernels = jax_npu::SelectHostKernels();
  std::vector<double> flops(num_threads);
  std::vector<std::thread> threads;
  for (double& each : flops) {
    threads.emplace_back([&] { each = jax_npu::Spin(kernels, seconds); });
  }
  double sum = 0;
  for (int i = 0; i < num_threads; ++i) {
    threads[i].join();
    sum += flops[i];
  }
  return sum;
}
