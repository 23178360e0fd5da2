// One custom call: counted and timed and, while a trace is on, recorded.

#ifndef JAX_NPU_XLA_FFI_GEMM_CALL_H_
#define JAX_NPU_XLA_FFI_GEMM_CALL_H_

#include <cstdint>

#include "xla_ffi/base/contraction.h"

namespace jax_npu {

// A call as a trace records it.
struct CallEvent {
  const char* backend;
  int64_t batch, m, k, n, passes;
  bool lhs_is_mk, rhs_is_kn;  // else they lie as (k, m) and (n, k)
  int64_t thread;             // the thread that XLA called from
  int64_t start_ns, end_ns;   // steady clock
  int64_t packed_bytes;       // packed by the process while the call ran

  int64_t flops() const { return 2 * batch * m * k * n * passes; }
};

// Runs from its construction to its End. A call that is destroyed before its End has
// failed.
class GemmCall {
 public:
  explicit GemmCall(const char* backend);
  ~GemmCall() { End(false); }
  GemmCall(const GemmCall&) = delete;
  GemmCall& operator=(const GemmCall&) = delete;

  void Describe(const Loops& loops, const PartPairs& parts);
  void End(bool succeeded = true);

 private:
  CallEvent event_{};
  bool has_ended_ = false;
};

}  // namespace jax_npu

#pragma GCC visibility push(default)
extern "C" {
// Forgets all recorded calls, and records those that end from now on.
void jax_npu_trace_start();
// Ends recording. Returns the calls as a JSON list, valid until the next call.
const char* jax_npu_trace_stop();
}
#pragma GCC visibility pop

#endif  // JAX_NPU_XLA_FFI_GEMM_CALL_H_
