#define AIE_HOST_ISA portable
#include "kernels.inc"

extern const AieKernels kAieKernelsPortable = {"portable", RunMatmul, RunZero,
                                               RunConvert};
