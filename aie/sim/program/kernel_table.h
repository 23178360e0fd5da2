// The kernels: functions that the virtual cores call by symbol.

#ifndef JAX_NPU_AIE_SIM_PROGRAM_KERNEL_TABLE_H_
#define JAX_NPU_AIE_SIM_PROGRAM_KERNEL_TABLE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "aie/sim/program/configuration.h"

namespace jax_npu::sim {

// One argument of a call: a buffer in a core's data memory, or a scalar.
struct KernelArgument {
  void* data;
  int64_t bytes;
  const TypeInfo* type;
  int64_t scalar;
};

enum class Access { kNone, kRead, kWrite, kReadWrite };

struct Kernel {
  // How the function accesses each argument's memory, for the traps on it.
  std::vector<Access> accesses;
  // Whether a call, whose buffers are not there yet, only writes what others read and
  // write. Empty: none does.
  std::function<bool(const std::vector<KernelArgument>&)> overwrites;
  // Bytes that a call takes from its core's cascade, and those that it gives to the
  // next core's. They are two more arguments, behind the others, if they are not 0.
  int64_t cascade_in_bytes = 0, cascade_out_bytes = 0;
  // Throws std::invalid_argument, which becomes a trap with the core's tile.
  std::function<void(const std::vector<KernelArgument>&)> run;
  // Core cycles of a call with these arguments.
  std::function<int64_t(const std::vector<KernelArgument>&)> cycles;
  // Multiply-accumulates of a call, for the counters.
  std::function<int64_t(const std::vector<KernelArgument>&)> macs;
};

using KernelTable = std::map<std::string, Kernel>;

// How the built-in kernels compute and how they were compiled.
struct KernelOptions {
  std::string arithmetic = "exact";  // exact, bfp16, bfp16_floor or fast
  bool b_column_major = false;
};

// The kernels of aie/kernels: zero_f32, zero_bf16, matmul_bf16_f32, matmul_bf16_bf16,
// matmul_tiles_bf16_f32 and convert_f32_bf16, for the
// configuration's device and with its times. Throws std::invalid_argument for an
// arithmetic that the device does not have.
KernelTable BuiltInKernels(const Configuration& configuration,
                           const KernelOptions& options);

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_PROGRAM_KERNEL_TABLE_H_
