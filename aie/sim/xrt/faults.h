// Faults that the virtual XRT is told to have, as real machines have them: the texts
// and codes are those of XRT 2.25 with the driver amdxdna.

#ifndef JAX_NPU_AIE_SIM_XRT_FAULTS_H_
#define JAX_NPU_AIE_SIM_XRT_FAULTS_H_

#include <cstddef>
#include <cstdint>

namespace jax_npu::sim {

// The first eight befall a run, and are in the order in which a spec's faults are
// listed.
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
  kKill,
  kNone,
};

// What is to happen to a run, with random bits for how.
struct Fate {
  Fault fault = Fault::kNone;
  uint64_t random = 0;
};

// Each of these is called once before what it counts is done. They throw
// std::system_error as the driver's calls do, and may end the process.
void CountCall(const char* ioctl);
void CountBuffer(bool is_of_host_memory, const void* userptr, size_t num_bytes);
void CountContext();
// Throws std::runtime_error where there is no device, and for a bad
// $JAX_NPU_SIM_FAULTS.
void CountOpening();

// The fate of the next run that is submitted; Happened says that it took place.
Fate NextRun();
void Happened(Fault fault);

// What an ioctl of the driver throws, for an errno.
[[noreturn]] void ThrowIoctlError(const char* ioctl, int error);

}  // namespace jax_npu::sim

#pragma GCC visibility push(default)
extern "C" {
// Faults from now on, as $JAX_NPU_SIM_FAULTS has them, instead of those before; all
// counts start anew. Null, or what is wrong with the spec, which then changes nothing;
// valid until the thread's next call.
const char* jax_npu_sim_set_faults(const char* spec);
// The faults that happened and the calls of each kind since then, as JSON.
const char* jax_npu_sim_faults_json();
// How many the process has now.
int64_t jax_npu_sim_num_buffers();
int64_t jax_npu_sim_num_contexts();
}
#pragma GCC visibility pop

#endif  // JAX_NPU_AIE_SIM_XRT_FAULTS_H_
