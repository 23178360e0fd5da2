// Counts of what happened to the NPU in this process, and messages about it on stderr.

#ifndef JAX_NPU_XLA_FFI_BASE_NPU_EVENTS_H_
#define JAX_NPU_XLA_FFI_BASE_NPU_EVENTS_H_

#include <atomic>
#include <cstdint>
#include <string>

namespace jax_npu {

struct NpuEvents {
  std::atomic<int64_t> products{0};       // GEMMs that were asked for
  std::atomic<int64_t> runs{0};           // runs of the array that they needed
  std::atomic<int64_t> commands{0};       // submissions of one or several runs
  std::atomic<int64_t> chained_runs{0};   // runs that followed another in a command
  std::atomic<int64_t> checks{0};         // results that were checked
  std::atomic<int64_t> retries{0};        // attempts after a failure of the device
  std::atomic<int64_t> mismatches{0};     // results that a check found wrong
  std::atomic<int64_t> host_products{0};  // GEMMs that the host computed instead
  std::atomic<int64_t> failures{0};       // runs that were given up, with an error
  std::atomic<int64_t> self_tests{0};     // new contexts that were tested
  std::atomic<int64_t> failed_self_tests{0};
  std::atomic<int64_t> unhealthy{0};  // NPUs on which nothing is computed any more
  std::atomic<int64_t> stand_ins{0};  // products that a paced virtual NPU answered
};

void CountEvent(std::atomic<int64_t> NpuEvents::* event, int64_t amount = 1);
int64_t EventCount(std::atomic<int64_t> NpuEvents::* event);

// Counts, and prints one line for each of the first few events of a kind.
void ReportEvent(std::atomic<int64_t> NpuEvents::* event, const std::string& message);

}  // namespace jax_npu

#pragma GCC visibility push(default)
extern "C" {
// Returns the counts as JSON, valid until the thread's next call.
const char* jax_npu_events();
}
#pragma GCC visibility pop

#endif  // JAX_NPU_XLA_FFI_BASE_NPU_EVENTS_H_
