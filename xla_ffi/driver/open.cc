#include "xla_ffi/driver/open.h"

#include <dlfcn.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace jax_npu {
namespace {

struct OpenNpu {
  Driver* driver;
  std::string design_key;
};

struct OpenNpus {
  std::mutex mutex;
  std::map<std::pair<std::string, std::string>, OpenNpu> of_device;
};

OpenNpus& TheOpenNpus() {
  static OpenNpus& npus = *new OpenNpus;  // calls may end after statics are destroyed
  return npus;
}

std::atomic<FindNpu*> the_finder{nullptr};

std::unique_ptr<FoundNpu> Find(const std::string& backend, const std::string& device) {
  FindNpu* const find = the_finder;
  if (find == nullptr) {
    throw std::runtime_error("nobody knows where the NPU's driver is; import jax_npu");
  }
  auto found = std::make_unique<FoundNpu>();
  find(backend.c_str(), device.c_str(), found.get());
  if (found->error[0] != '\0') throw std::runtime_error(found->error);
  if (found->library[0] == '\0') {
    throw std::runtime_error("the search for the NPU's driver was interrupted");
  }
  return found;
}

OpenNpu Open(const FoundNpu& found) {
  // dlopen returns the same handle for a library that is open already.
  void* library = dlopen(found.library, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw std::runtime_error(std::string("the driver does not load: ") + dlerror());
  }
  const auto open =
      reinterpret_cast<OpenDriverFunction*>(dlsym(library, "jax_npu_open_driver"));
  if (open == nullptr) {
    throw std::runtime_error(std::string("no driver library: ") + dlerror());
  }
  return {open(found.design), found.design_key};
}

void RequireDesign(const std::string& wanted, const std::string& key,
                   const std::string& backend, const std::string& device) {
  if (wanted == key) return;
  // A virtual NPU's design holds the times of a machine.
  const bool is_virtual = backend == "sim";
  throw std::runtime_error(
      "the program was made for the design " + wanted + " of " + device +
      ", and this process runs " + key +
      "; make it again with the jax-npu that is installed here" +
      (is_virtual ? ", and with the JAX_NPU_MACHINE of this process's first run" : ""));
}

}  // namespace

// Threads may ask at the same time: all get one answer, and the driver opens once.
Driver& OpenDriver(const std::string& backend, const std::string& device,
                   const std::string& design_key) {
  OpenNpus& npus = TheOpenNpus();
  const std::pair<std::string, std::string> name(backend, device);
  {
    const std::lock_guard<std::mutex> lock(npus.mutex);
    const auto known = npus.of_device.find(name);
    if (known != npus.of_device.end()) {
      RequireDesign(design_key, known->second.design_key, backend, device);
      return *known->second.driver;
    }
  }
  const std::unique_ptr<FoundNpu> found = Find(backend, device);
  RequireDesign(design_key, found->design_key, backend, device);
  const OpenNpu opened = Open(*found);
  const std::lock_guard<std::mutex> lock(npus.mutex);
  return *npus.of_device.emplace(name, opened).first->second.driver;
}

}  // namespace jax_npu

void jax_npu_set_finder(jax_npu::FindNpu* find) { jax_npu::the_finder = find; }
