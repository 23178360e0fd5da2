// Threads allocate while another thread gives contexts up: `contexts_main library
// design`. The virtual XRT refuses a third context in the process: exit status 1.

#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>
#include <vector>

#include "xla_ffi/driver/driver.h"

int main(int, char** arguments) {
  void* library = dlopen(arguments[1], RTLD_NOW);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  const auto open = reinterpret_cast<jax_npu::OpenDriverFunction*>(
      dlsym(library, "jax_npu_open_driver"));
  jax_npu::Driver* driver = open(arguments[2]);
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 32; ++i) {
    threads.emplace_back([&, i] {
      while (!is_over) {
        try {
          driver->Allocate(i % 3, 4096 << i % 8);
        } catch (const std::exception& error) {
          std::fprintf(stderr, "%s\n", error.what());
          std::_Exit(1);
        }
      }
    });
  }
  for (int i = 0; i < 200; ++i) {
    driver->Reset();
    driver->Allocate(0, 4096);
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  return 0;
}
