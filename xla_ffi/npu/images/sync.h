// Copies of buffers to the device and back, on several threads: to the host's processor
// a copy is a flush of its caches, line by line.

#ifndef JAX_NPU_XLA_FFI_NPU_IMAGES_SYNC_H_
#define JAX_NPU_XLA_FFI_NPU_IMAGES_SYNC_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "xla_ffi/base/parallel.h"
#include "xla_ffi/driver/driver.h"
#include "xla_ffi/trace/parts.h"

namespace jax_npu {

// Calls a function of NpuBuffer for the first bytes of a buffer, piece by piece.
inline void SyncFirst(NpuBuffer& buffer, void (NpuBuffer::*sync)(size_t, size_t),
                      size_t num_bytes, const ParallelLoop& parallel) {
  constexpr size_t kPieceBytes = 64 * kSyncBytes;
  const auto num_pieces =
      static_cast<int64_t>((num_bytes + kPieceBytes - 1) / kPieceBytes);
  const ProductInfo* const product = CurrentProduct();
  parallel(num_pieces, [&](int64_t piece) {
    const size_t first = piece * kPieceBytes;
    const size_t size = std::min(kPieceBytes, num_bytes - first);
    const ProductScope scope(product);
    const PartTimer timer(Part::kFlush, static_cast<int64_t>(size));
    (buffer.*sync)(first, size);
  });
}

inline void SyncToDevice(NpuBuffer& buffer, size_t num_bytes,
                         const ParallelLoop& parallel) {
  SyncFirst(buffer, &NpuBuffer::SyncToDevice, num_bytes, parallel);
}

inline void SyncFromDevice(NpuBuffer& buffer, size_t num_bytes,
                           const ParallelLoop& parallel) {
  SyncFirst(buffer, &NpuBuffer::SyncFromDevice, num_bytes, parallel);
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_IMAGES_SYNC_H_
