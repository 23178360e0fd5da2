// AdamW's inner loop, compiled once for each width of vectors.
//
// All give the same bits: the loop rounds after every operation, in optax's order, and
// its files are compiled without fused multiply-adds.

#ifndef JAX_NPU_XLA_FFI_OPTIMIZER_KERNELS_H_
#define JAX_NPU_XLA_FFI_OPTIMIZER_KERNELS_H_

#include <cstdint>

namespace jax_npu {

// The scalars of a step, as Scalars of jax_npu/optimizer/adamw_call.py names them.
struct AdamWScalars {
  float clip;               // factor of every gradient
  float b1, b1_complement;  // of the first moment; optax rounds 1 - b1 from f64
  float b2, b2_complement;  // of the second
  float b1_correction, b2_correction;  // 1 - b1^t and 1 - b2^t in step t = 1, 2, ...
  float eps_root, eps;
  float weight_decay;
  float step_size;  // minus the learning rate
};

// Neighbours of one parameter. An output may be one of the arrays that are read, and
// overlaps no other: each element is read before it is written.
struct AdamWJob {
  const float *param, *grad, *mu, *nu;  // param may be null where it is not read
  float *out, *new_mu, *new_nu;
  uint16_t* image;  // `out` rounded to bf16; null where nobody asks for it
  int64_t size;
};

// What a kernel computes.
struct AdamWKind {
  bool decays;   // by weight_decay
  bool applies;  // `out` is the new parameter, else what is to be added to the old one

  bool ReadsParam() const { return decays || applies; }
};

using AdamWKernel = void (*)(const AdamWJob&, const AdamWScalars&);

// The kernels of a width, by AdamWKind: [decays][applies]. Only what applies has an
// image.
struct AdamWKernels {
  AdamWKernel of_kind[2][2];
  AdamWKernel with_image[2];  // [decays]
};

#if defined(__x86_64__)
extern const AdamWKernels kAvx512AdamW, kAvx2AdamW;
#endif
extern const AdamWKernels kPortableAdamW;

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_OPTIMIZER_KERNELS_H_
