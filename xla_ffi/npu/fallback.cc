#include "xla_ffi/npu/fallback.h"

#include <stdexcept>

#include "xla_ffi/base/npu_events.h"

namespace jax_npu {
namespace {

std::exception_ptr StrictError(const std::string& reason) {
  try {
    throw std::runtime_error(reason +
                             ", or unset JAX_NPU_STRICT to have the host compute it");
  } catch (...) {  // no memory for the text, too: the queue's thread must not throw
    return std::current_exception();
  }
}

std::exception_ptr Compute(const NpuGemmRequest& request,
                           const ParallelLoop& parallel) {
  try {
    HostGemm(request.contraction, request.parts, request.lhs, request.rhs, request.out,
             parallel);
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace

std::exception_ptr ComputeOnHost(const NpuGemmRequest& request,
                                 const std::string& problem,
                                 const ParallelLoop& parallel) {
  if (request.check.strict) return StrictError(problem);
  CountEvent(&NpuEvents::host_products);
  return Compute(request, parallel);
}

std::exception_ptr RecomputeOnHost(const NpuGemmRequest& request,
                                   const std::string& mistake) {
  if (request.check.strict) return StrictError(mistake + "; run 'jax-npu doctor'");
  ReportEvent(&NpuEvents::host_products, mistake + "; the host computes it");
  return Compute(request, kSerialLoop);
}

}  // namespace jax_npu
