// How a handler's exception becomes XLA's error.

#ifndef JAX_NPU_XLA_FFI_TO_ERROR_H_
#define JAX_NPU_XLA_FFI_TO_ERROR_H_

#include <exception>
#include <string>

#include "xla/ffi/api/ffi.h"

namespace jax_npu {

inline xla::ffi::Error ToError(const char* target, const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& raised) {
    return xla::ffi::Error::Internal(std::string(target) + ": " + raised.what());
  }
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_TO_ERROR_H_
