// The parts of the host's work for a product on an NPU: each is timed, and recorded
// while a trace is on.

#ifndef JAX_NPU_XLA_FFI_TRACE_PARTS_H_
#define JAX_NPU_XLA_FFI_TRACE_PARTS_H_

#include <cstdint>

#include "xla_ffi/base/counters.h"

namespace jax_npu {

enum class Part {
  kPack,      // operands into images
  kFlush,     // syncs: the caches' lines of a buffer
  kAllocate,  // buffers of the device
  kQueue,     // making commands and submitting them
  kUnpack,    // results out of images
  kCheck,     // results compared with operands
  kRoom,      // waiting until the images in flight take less memory
  kWait,      // of the queue's thread, for the device
};

// The product that a thread works for.
struct ProductInfo {
  int64_t number;          // counts the products of the process
  int64_t batch, m, k, n;  // as the caller gave them, all passes in k
};

// Makes the product that of the thread until the end of the scope; null is none. Work
// that a thread hands to others takes it along.
class ProductScope {
 public:
  explicit ProductScope(const ProductInfo* product);
  ~ProductScope();
  ProductScope(const ProductScope&) = delete;
  ProductScope& operator=(const ProductScope&) = delete;

 private:
  const ProductInfo* const outer_;
};
const ProductInfo* CurrentProduct();

// Times a part from its construction to the end of its scope.
class PartTimer {
 public:
  // `num_bytes` are those that it reads and writes, or 0.
  explicit PartTimer(Part part, int64_t num_bytes = 0)
      : part_(part), num_bytes_(num_bytes), start_ns_(NanosecondsNow()) {}
  ~PartTimer();
  PartTimer(const PartTimer&) = delete;
  PartTimer& operator=(const PartTimer&) = delete;

 private:
  const Part part_;
  const int64_t num_bytes_, start_ns_;
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_TRACE_PARTS_H_
