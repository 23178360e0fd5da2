// What Python asks about the host GEMM, through ctypes.

#include <cstdint>
#include <exception>
#include <string>

#include "xla_ffi/host/gemm.h"
#include "xla_ffi/host/isa/instruction_set.h"

#pragma GCC visibility push(default)
extern "C" {
// The name of the instruction set in use. On an error, null; `*error` then holds the
// reason and stays valid until the thread's next call.
const char* jax_npu_host_isa(const char** error) {
  static thread_local std::string message;
  try {
    return jax_npu::SelectHostKernels().name;
  } catch (const std::exception& raised) {
    message = raised.what();
    *error = message.c_str();
    return nullptr;
  }
}

// The number of words that xdna_pack_host writes for an operand of (num_rows, num_k).
int64_t jax_npu_packed_words(int64_t num_rows, int64_t num_k) {
  return jax_npu::PackedOperandWords(num_rows, num_k);
}

// Products with at most so many rows, or columns, read the other operand where it lies,
// so it must not be packed.
int64_t jax_npu_few_rows() { return jax_npu::kFewRows; }
}
#pragma GCC visibility pop
