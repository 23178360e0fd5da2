// The table of kernels for AVX-512 with AVX512-BF16.
#define AIE_HOST_ISA avx512bf16
#include "kernels.inc"

extern const AieKernels kAieKernelsAvx512Bf16 = {"avx512bf16", RunMatmul, RunZero,
                                                 RunConvert};
