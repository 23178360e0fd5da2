// The functions that XLA calls. A handler decodes, calls and turns errors into
// ffi::Error; what is below it throws.

#include <algorithm>
#include <cstdint>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

#include "contraction.h"
#include "host_gemm.h"
#include "host_kernels.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace jax_npu {
namespace {

namespace ffi = ::xla::ffi;
using Int64s = ffi::Span<const int64_t>;

// Four numbers an axis, as jax_npu/contraction.py writes them: see Axis.
Group DecodeGroup(Int64s numbers) {
  static_assert(sizeof(Axis) == 4 * sizeof(int64_t));
  if (numbers.size() % 4 != 0) {
    throw std::invalid_argument("axes need four numbers each");
  }
  return ExpandAxes(reinterpret_cast<const Axis*>(numbers.begin()), numbers.size() / 4);
}

PartPairs DecodeParts(Int64s lhs, Int64s rhs) {
  if (lhs.size() != rhs.size()) {
    throw std::invalid_argument("lhs_parts and rhs_parts differ in length");
  }
  PartPairs parts;
  for (size_t i = 0; i < lhs.size(); ++i) parts.emplace_back(lhs[i], rhs[i]);
  return parts;
}

DType DecodeDType(ffi::DataType dtype) {
  switch (dtype) {
    case ffi::F32:
      return DType::kF32;
    case ffi::BF16:
      return DType::kBF16;
    default:
      throw std::invalid_argument("operands and result must be float32 or bfloat16");
  }
}

ffi::Error GemmHost(ffi::ThreadPool pool, ffi::AnyBuffer lhs, ffi::AnyBuffer rhs,
                    ffi::Result<ffi::AnyBuffer> out, Int64s batch, Int64s m, Int64s k,
                    Int64s n, Int64s lhs_parts, Int64s rhs_parts) {
  try {
    const Contraction contraction = {DecodeGroup(batch), DecodeGroup(m), DecodeGroup(k),
                                     DecodeGroup(n)};
    const ParallelLoop parallel = [&](int64_t num_items,
                                      std::function<void(int64_t)> body) {
      // The calling thread counts as one worker of the pool.
      ParallelFor(pool, pool.num_threads(), num_items, std::move(body));
    };
    HostGemm(contraction, DecodeParts(lhs_parts, rhs_parts),
             {lhs.untyped_data(), DecodeDType(lhs.element_type())},
             {rhs.untyped_data(), DecodeDType(rhs.element_type())},
             {out->untyped_data(), DecodeDType(out->element_type())}, parallel);
    return ffi::Error::Success();
  } catch (const std::exception& error) {
    return ffi::Error::Internal(std::string("xdna_gemm_host: ") + error.what());
  }
}

}  // namespace
}  // namespace jax_npu

// What ctypes looks up.
#pragma GCC visibility push(default)
extern "C" {
XLA_FFI_Error* xdna_gemm_host(XLA_FFI_CallFrame* call_frame);
const char* jax_npu_host_isa(const char** error);
}
#pragma GCC visibility pop

XLA_FFI_DEFINE_HANDLER_SYMBOL(xdna_gemm_host, jax_npu::GemmHost,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<xla::ffi::AnyBuffer>()  // lhs
                                  .Arg<xla::ffi::AnyBuffer>()  // rhs
                                  .Ret<xla::ffi::AnyBuffer>()  // out
                                  .Attr<jax_npu::Int64s>("batch")
                                  .Attr<jax_npu::Int64s>("m")
                                  .Attr<jax_npu::Int64s>("k")
                                  .Attr<jax_npu::Int64s>("n")
                                  .Attr<jax_npu::Int64s>("lhs_parts")
                                  .Attr<jax_npu::Int64s>("rhs_parts"));

// Name of the instruction set in use, for reports. On an error, null; `*error` then
// says why and stays valid until the thread's next call.
extern "C" const char* jax_npu_host_isa(const char** error) {
  static thread_local std::string message;
  try {
    return jax_npu::SelectHostKernels().name;
  } catch (const std::exception& raised) {
    message = raised.what();
    *error = message.c_str();
    return nullptr;
  }
}
