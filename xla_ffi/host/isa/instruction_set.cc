#include "xla_ffi/host/isa/instruction_set.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "xla_ffi/base/environment.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace jax_npu {
namespace {

#if defined(__x86_64__)
// Whether the CPU has AMX-BF16 (bit 22) and AMX-TILE (bit 24), for which
// __builtin_cpu_supports of GCC 12 has no names.
bool HasTiles() {
  unsigned a, b, c, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && d >> 22 & 1 && d >> 24 & 1;
}

// Asks Linux for permission to use the tile registers (kernel documentation,
// arch/x86/xstate.rst).
bool MayUseTiles() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

// The kernels that this CPU runs, the fastest first.
std::vector<const HostKernels*> RunnableKernels() {
  std::vector<const HostKernels*> runnable;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl");
  const bool pairs = avx512 && __builtin_cpu_supports("avx512bf16");
  if (pairs) runnable.push_back(&kAvx512Bf16Kernels);
  if (avx512) runnable.push_back(&kAvx512Kernels);
  // Intel's cores take a bf16 product at half the rate of Zen 4's: rounded f32 operands
  // were 1.2 to 1.5 times as fast on a Xeon (family 6, model 167).
  if (__builtin_cpu_is("intel")) std::reverse(runnable.begin(), runnable.end());
  if (pairs && HasTiles() && MayUseTiles()) {
    runnable.insert(runnable.begin(), &kAmxKernels);
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    runnable.push_back(&kAvx2Kernels);
  }
#endif
  runnable.push_back(&kPortableKernels);
  return runnable;
}

}  // namespace

const HostKernels& SelectHostKernels() {
  static const std::vector<const HostKernels*> runnable = RunnableKernels();
  const char* wanted = ReadVariable(kHostIsaVariable);
  if (wanted == nullptr) return *runnable.front();
  std::string names;
  for (const HostKernels* kernels : runnable) {
    if (std::string(wanted) == kernels->name) return *kernels;
    names += (names.empty() ? "" : ", ") + std::string(kernels->name);
  }
  throw std::invalid_argument(std::string(kHostIsaVariable) +
                              " must be one that this CPU runs (" + names + "), got '" +
                              wanted + "'; unset it for the fastest");
}

}  // namespace jax_npu
