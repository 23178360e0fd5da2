// One custom call: counted and timed and, while a trace is on, recorded.

#ifndef JAX_NPU_XLA_FFI_GEMM_CALL_H_
#define JAX_NPU_XLA_FFI_GEMM_CALL_H_

#include <cstdint>

#include "xla_ffi/base/contraction.h"
#include "xla_ffi/trace/recorder.h"

namespace jax_npu {

// Runs from its construction to its End. A call that is destroyed before its End has
// failed.
class GemmCall {
 public:
  explicit GemmCall(const char* backend);
  ~GemmCall() { End(false); }
  GemmCall(const GemmCall&) = delete;
  GemmCall& operator=(const GemmCall&) = delete;

  void Describe(const Axes& axes, const PartPairs& parts);
  void End(bool succeeded = true);

 private:
  CallEvent event_{};
  bool has_ended_ = false;
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_GEMM_CALL_H_
