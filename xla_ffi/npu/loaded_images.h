// The operands' images on the device, which neighbouring runs of a product share.

#ifndef JAX_NPU_XLA_FFI_NPU_LOADED_IMAGES_H_
#define JAX_NPU_XLA_FFI_NPU_LOADED_IMAGES_H_

#include <cstddef>
#include <memory>

#include "xla_ffi/driver/driver.h"
#include "xla_ffi/host/gemm.h"
#include "xla_ffi/npu/images/images.h"
#include "xla_ffi/npu/queue.h"

namespace jax_npu {

// The array's arguments, by the position of their buffer in a run.
enum NpuArgument { kA = 0, kB = 1, kC = 2 };

// A buffer of the device. If there is no memory, drops images that are kept for other
// products, waits for other runs to give theirs back, and tries again; throws what the
// driver throws after the last attempt.
std::shared_ptr<NpuBuffer> Allocate(Driver& driver, NpuQueue& queue,
                                    NpuArgument argument, size_t num_bytes);

// The image of one operand that was loaded last. Of one thread.
class LoadedImage {
 public:
  LoadedImage(Driver& driver, NpuQueue& queue, NpuArgument argument)
      : driver_(driver), queue_(queue), argument_(argument) {}

  // A window of the operand, on the device. It is packed unless it was the last one, or
  // an earlier product has packed it.
  std::shared_ptr<NpuBuffer> Load(const ImageSource& source, const ImageWindow& window,
                                  const ParallelLoop& parallel);

  void Forget() { buffer_ = nullptr; }

 private:
  std::shared_ptr<NpuBuffer> Pack(const ImageSource& source, const ImageWindow& window,
                                  const ParallelLoop& parallel);

  Driver& driver_;
  NpuQueue& queue_;
  const NpuArgument argument_;
  ImageWindow window_{};
  std::shared_ptr<NpuBuffer> buffer_;
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_LOADED_IMAGES_H_
