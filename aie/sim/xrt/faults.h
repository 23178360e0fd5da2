// Faults of the virtual XRT, by which a test can make it fail as real machines do.
// Texts and error codes are those of XRT 2.25 with the driver amdxdna.

#ifndef JAX_NPU_AIE_SIM_XRT_FAULTS_H_
#define JAX_NPU_AIE_SIM_XRT_FAULTS_H_

#include <cstddef>
#include <cstdint>

namespace jax_npu::sim {

// The first eight are faults of a run.
enum class Fault {
  kTimeout,
  kAbort,
  kError,
  kGarbage,
  kWrong,
  kUntouched,
  kEvicted,
  kStuck,
  kNoMemory,
  kNoContext,
  kGone,
  kAway,
  kReplaced,
  kKill,
  kNone,
};

// The fault that a run will have, with random bits for its details.
struct Fate {
  Fault fault = Fault::kNone;
  uint64_t random = 0;
};

// Each of the Count functions is called once before the action that it counts. They
// throw std::system_error as the driver's calls do, and may end the process.
void CountCall(const char* ioctl);
void CountBuffer(bool is_of_host_memory, const void* userptr, size_t num_bytes);
void CountContext();
// Throws std::runtime_error where there is no device, and for a bad
// $JAX_NPU_SIM_FAULTS. `is_anew`: nothing in the process holds the device.
void CountOpening(bool is_anew);

// The fate of the next run that is submitted. Happened counts a fault that took place.
Fate NextRun();
void Happened(Fault fault);

// Throws the error of a driver's ioctl that fails with that errno.
[[noreturn]] void ThrowIoctlError(const char* ioctl, int error);

}  // namespace jax_npu::sim

#pragma GCC visibility push(default)
extern "C" {
// Replaces the faults, in the syntax of $JAX_NPU_SIM_FAULTS, and sets all counts to 0.
// Returns null, or what is wrong with the spec, which then changes nothing; the text is
// valid until the thread's next call.
const char* jax_npu_sim_set_faults(const char* spec);
// The number of calls of each kind and of each fault that happened since then, as JSON:
// {"calls":{KIND:N,...},"faults":{FAULT:N,...}}.
const char* jax_npu_sim_faults_json();
// The number of buffers and contexts that the process has now.
int64_t jax_npu_sim_num_buffers();
int64_t jax_npu_sim_num_contexts();
}
#pragma GCC visibility pop

#endif  // JAX_NPU_AIE_SIM_XRT_FAULTS_H_
