// Opens a driver library at run time.

#include <dlfcn.h>

#include <stdexcept>
#include <string>

#include "xla_ffi/driver/driver.h"

namespace jax_npu {

Driver& OpenDriver(const char* library_path, const char* design_path) {
  // dlopen returns the same handle for a library that is open already.
  void* library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw std::runtime_error(std::string("the driver does not load: ") + dlerror());
  }
  const auto open =
      reinterpret_cast<OpenDriverFunction*>(dlsym(library, "jax_npu_open_driver"));
  if (open == nullptr) {
    throw std::runtime_error(std::string("no driver library: ") + dlerror());
  }
  return *open(design_path);
}

}  // namespace jax_npu
