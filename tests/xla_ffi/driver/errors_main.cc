// Prints the remedy of each errno given, by what was being done.

#include <cstdlib>
#include <iostream>

#include "xla_ffi/driver/errors.h"

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    for (const auto doing :
         {jax_npu::Doing::kMakingContext, jax_npu::Doing::kMakingBuffer}) {
      std::cout << jax_npu::Remedy(doing, std::atoi(argv[i])) << std::endl;
    }
  }
}
