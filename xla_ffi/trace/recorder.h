// The record of a trace: custom calls, the parts of the host's work for them, and the
// runs on the NPU.

#ifndef JAX_NPU_XLA_FFI_TRACE_RECORDER_H_
#define JAX_NPU_XLA_FFI_TRACE_RECORDER_H_

#include <cstdint>

#include "xla_ffi/trace/parts.h"

namespace jax_npu {

// Times are of the steady clock; a thread is the kernel's number of it.

struct CallEvent {
  const char* backend;
  int64_t batch, m, k, n, passes;
  bool lhs_is_mk, rhs_is_kn;  // else they lie as (k, m) and (n, k)
  int64_t thread;             // the thread that XLA called from
  int64_t start_ns, end_ns;
  int64_t packed_bytes;  // packed by the process while the call ran

  int64_t flops() const { return 2 * batch * m * k * n * passes; }
};

struct PartEvent {
  const char* name;
  int64_t thread, start_ns, end_ns, num_bytes;
  ProductInfo product;  // number 0 for none, or for several
};

// A run as the host sees it: from its submission until the host knows of its end.
struct RunEvent {
  int64_t start_ns, end_ns, num_bytes;  // of its buffers
  ProductInfo product;
};

bool IsRecording();
int64_t ThisThread();

// They drop the event unless a trace is on.
void Record(const CallEvent& event);
void Record(const PartEvent& event);
void Record(const RunEvent& event);

}  // namespace jax_npu

#pragma GCC visibility push(default)
extern "C" {
// Forgets all recorded events, and records those that end from now on.
void jax_npu_trace_start();
// Ends recording. Returns the events as JSON, {"calls": [...], "parts": [...], "runs":
// [...]}, valid until the next call.
const char* jax_npu_trace_stop();
}
#pragma GCC visibility pop

#endif  // JAX_NPU_XLA_FFI_TRACE_RECORDER_H_
