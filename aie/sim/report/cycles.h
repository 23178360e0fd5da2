// The unit of the virtual NPU's time.

#ifndef JAX_NPU_AIE_SIM_REPORT_CYCLES_H_
#define JAX_NPU_AIE_SIM_REPORT_CYCLES_H_

#include <cstdint>

namespace jax_npu::sim {

using Cycles = int64_t;  // ticks of the array's clock

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_REPORT_CYCLES_H_
