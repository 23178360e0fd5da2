// The choice among the compiled tables: the fastest that this CPU runs.
#include "kernels.h"

#include <cstring>

extern const AieKernels kAieKernelsPortable, kAieKernelsReference;
#if defined(__x86_64__)
extern const AieKernels kAieKernelsAvx2, kAieKernelsAvx512, kAieKernelsAvx512Bf16;
#endif

namespace {

bool IsWanted(const AieKernels& kernels, const char* isa) {
  return isa == nullptr || std::strcmp(isa, kernels.isa) == 0;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const AieKernels* aie_kernels(
    const char* isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512 =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  // Intel's cores multiply bf16 at half the rate of Zen 4's: on a Xeon (family 6, model
  // 167), f32 was as fast.
  const bool prefers_f32 = isa == nullptr && __builtin_cpu_is("intel");
  if (bf16 && !prefers_f32 && IsWanted(kAieKernelsAvx512Bf16, isa)) {
    return &kAieKernelsAvx512Bf16;
  }
  if (avx512 && IsWanted(kAieKernelsAvx512, isa)) return &kAieKernelsAvx512;
  if (IsWanted(kAieKernelsAvx2, isa) && __builtin_cpu_supports("avx2") &&
      __builtin_cpu_supports("fma")) {
    return &kAieKernelsAvx2;
  }
#endif
  if (IsWanted(kAieKernelsPortable, isa)) return &kAieKernelsPortable;
  if (IsWanted(kAieKernelsReference, isa)) return &kAieKernelsReference;
  return nullptr;
}
