// The inner loops of GEMMs on the host, one set per instruction set.
//
// Each set is compiled by its own file with its own compiler flags, so nothing here may
// be an inline function of the standard library: the linker keeps one copy of those,
// and it could be one that an older CPU cannot run.

#ifndef JAX_NPU_XLA_FFI_HOST_KERNELS_H_
#define JAX_NPU_XLA_FFI_HOST_KERNELS_H_

#include <cstdint>

namespace jax_npu {

enum class DType { kF32, kBF16 };

// A strip of a matrix: up to `panel` rows (or columns) by `num_k` contracted indices.
struct Strip {
  const void* data;
  DType dtype;
  const int64_t* rows;  // element offsets, num_rows of them
  int64_t num_rows;
  const int64_t* ks;  // element offsets, num_k of them
  int64_t num_k;
  int part;  // which bf16 part of an f32 value: 0 its rounding, 1 the rest's, 2 ...
};

// What stands for a value as one bf16: a part of it, see Strip::part.
struct Bf16Choice {
  int part;
  bool only_finite;  // 0 for what is not finite
};

struct HostKernels {
  const char* name;
  int mr, nr;        // rows and columns of one register tile
  int packed_bytes;  // of one packed element
  // Rounds a strip to bf16 and stores it k-major, padded with zeros to mr or nr rows
  // and to whole 32-bit words.
  void (*pack_lhs)(const Strip&, void* packed);
  void (*pack_rhs)(const Strip&, void* packed);
  // c[0:num_rows, 0:nr] += lhs * rhs, all f32, c row-major with leading dimension ldc.
  void (*multiply)(int num_rows, int64_t num_k, const void* packed_lhs,
                   const void* packed_rhs, float* c, int64_t ldc);
  // Rounds values that are neighbours in memory.
  void (*round)(DType dtype, const Bf16Choice& choice, const void* from, int64_t size,
                uint16_t* to);
};

#if defined(__x86_64__)
extern const HostKernels kAvx512Bf16Kernels, kAvx512Kernels, kAvx2Kernels;
#endif
extern const HostKernels kPortableKernels;

// The kernels for this CPU, or those that JAX_NPU_HOST_ISA names; throws
// std::invalid_argument for a name that is unknown or that this CPU cannot run.
const HostKernels& SelectHostKernels();

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_HOST_KERNELS_H_
