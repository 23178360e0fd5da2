// What the virtual NPU counts: data, never log lines.

#ifndef JAX_NPU_AIE_SIM_REPORT_REPORT_H_
#define JAX_NPU_AIE_SIM_REPORT_REPORT_H_

#include <cstdint>
#include <map>
#include <string>

namespace jax_npu::sim {

// Cycles of one core, DMA channel, DDR direction or the controller.
struct Usage {
  int64_t busy = 0;                       // executing or moving words
  std::map<std::string, int64_t> stalls;  // by cause: all other cycles of the run
  int64_t bytes = 0, macs = 0;
};

// As a string of JSON.
std::string Quoted(const std::string& text);

struct Report {
  std::string device, arithmetic;
  double clock_hz = 0;
  int64_t runs = 0;
  int64_t cycles = 0;             // on the device: launch, controller and array
  int64_t controller_cycles = 0;  // of these, the controller was executing operations
  double submission_seconds = 0;  // of the host
  int64_t macs = 0, kernel_calls = 0, instruction_words = 0;
  // ddr_read, ddr_write, l2_read, l2_write, l1_read, l1_write: by DMA; stream: words
  // times the links crossed.
  std::map<std::string, int64_t> bytes;
  std::map<std::string, Usage> usage;  // "core (0, 2)", "shim (0, 0) MM2S 0", ...

  double device_seconds() const { return clock_hz > 0 ? cycles / clock_hz : 0; }
  // Device and submission.
  double seconds() const { return device_seconds() + submission_seconds; }
  void Add(const Report& run);
  std::string Json() const;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_REPORT_REPORT_H_
