// Which of the compiled tables this CPU runs.
#include "kernels.h"

#include <cstring>

extern const AieKernels kAieKernelsPortable, kAieKernelsReference;
#if defined(__x86_64__)
extern const AieKernels kAieKernelsAvx2, kAieKernelsAvx512;
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
  if (IsWanted(kAieKernelsAvx512, isa) && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    return &kAieKernelsAvx512;
  }
  if (IsWanted(kAieKernelsAvx2, isa) && __builtin_cpu_supports("avx2") &&
      __builtin_cpu_supports("fma")) {
    return &kAieKernelsAvx2;
  }
#endif
  if (IsWanted(kAieKernelsPortable, isa)) return &kAieKernelsPortable;
  if (IsWanted(kAieKernelsReference, isa)) return &kAieKernelsReference;
  return nullptr;
}
