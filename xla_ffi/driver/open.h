// Opens the driver of an NPU at run time: the one that is installed here.
//
// A program names a device and a design, never a file. Python knows where the driver's
// library and the design are in this process, and is asked once for each device.

#ifndef JAX_NPU_XLA_FFI_DRIVER_OPEN_H_
#define JAX_NPU_XLA_FFI_DRIVER_OPEN_H_

#include <string>

#include "xla_ffi/driver/driver.h"

namespace jax_npu {

// Python's answer, see jax_npu/runtime/npu_finder.py: each text ends with a 0.
struct FoundNpu {
  char library[4096];   // path of the driver
  char design[4096];    // path of the file that the driver loads
  char design_key[64];  // of the design that instructions are made for in this process
  char error[4096];     // the reason why there is none, or ""
};

// Fills `found`, which is all zeros. It takes Python's lock, so that the caller must
// hold none of its own.
using FindNpu = void(const char* backend, const char* device, FoundNpu* found);

// The driver that runs instructions for that design of the device. Each is opened once
// in a process and stays open. Throws std::runtime_error if there is none, or if this
// process has another design.
Driver& OpenDriver(const std::string& backend, const std::string& device,
                   const std::string& design_key);

}  // namespace jax_npu

#pragma GCC visibility push(default)
extern "C" {
void jax_npu_set_finder(jax_npu::FindNpu* find);
}
#pragma GCC visibility pop

#endif  // JAX_NPU_XLA_FFI_DRIVER_OPEN_H_
