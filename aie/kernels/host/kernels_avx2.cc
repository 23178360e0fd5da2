// The table of kernels for AVX2 and FMA.
#define AIE_HOST_ISA avx2
#include "kernels.inc"

extern const AieKernels kAieKernelsAvx2 = {"avx2", RunMatmul, RunZero, RunConvert};
