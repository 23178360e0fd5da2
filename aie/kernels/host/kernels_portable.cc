// The table of kernels for any CPU: GCC lowers the vectors to what it has.
#define AIE_HOST_ISA portable
#include "kernels.inc"

extern const AieKernels kAieKernelsPortable = {"portable", RunMatmul, RunZero,
                                               RunConvert};
