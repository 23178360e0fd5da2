// The table of kernels for AVX-512 (F, BW, VL, DQ).
#define AIE_HOST_ISA avx512
#include "kernels.inc"

extern const AieKernels kAieKernelsAvx512 = {"avx512", RunMatmul, RunZero, RunConvert};
