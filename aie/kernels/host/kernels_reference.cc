// The table of kernels that defines the others: matmul.cc over scalar macs.
#define AIE_HOST_ISA reference
#define AIE_HOST_REFERENCE
#include "kernels.inc"

extern const AieKernels kAieKernelsReference = {"reference", RunMatmul, RunZero,
                                                RunConvert};
