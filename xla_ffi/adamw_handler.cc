// The function that XLA calls for AdamW's update of one parameter.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>

#include "xla/ffi/api/ffi.h"
#include "xla_ffi/attributes.h"
#include "xla_ffi/base/parallel.h"
#include "xla_ffi/optimizer/adamw.h"
#include "xla_ffi/to_error.h"

namespace jax_npu {
namespace {

using Floats = ffi::Buffer<ffi::F32>;
using Image = ffi::Buffer<ffi::BF16>;

struct AdamWAttributes {
  bool decays, applies;  // see AdamWKind
};

}  // namespace

template <>
inline constexpr auto kAttributes<AdamWAttributes> =
    std::tuple{Attribute{"decays", &AdamWAttributes::decays},
               Attribute{"applies", &AdamWAttributes::applies}};

namespace {

AdamWScalars DecodeScalars(const ffi::BufferR1<ffi::F32>& scalars) {
  constexpr size_t kNumScalars = sizeof(AdamWScalars) / sizeof(float);
  if (scalars.element_count() != kNumScalars) {
    throw std::invalid_argument(std::to_string(kNumScalars) +
                                " scalars are needed, got " +
                                std::to_string(scalars.element_count()));
  }
  const float* s = scalars.typed_data();
  return {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10]};
}

void RequireSize(size_t size, std::initializer_list<size_t> others) {
  for (size_t other : others) {
    if (other != size) {
      throw std::invalid_argument("arrays of " + std::to_string(size) +
                                  " elements are needed, got one of " +
                                  std::to_string(other));
    }
  }
}

// Null where the call has no such result.
uint16_t* ImageOf(std::optional<ffi::Result<Image>>& image, size_t size, bool applies) {
  if (!image) return nullptr;
  if (!applies) throw std::invalid_argument("only a new parameter has an image");
  RequireSize(size, {(*image)->element_count()});
  return reinterpret_cast<uint16_t*>((*image)->untyped_data());
}

constexpr auto kAdamW =
    [](ffi::ThreadPool pool, ffi::BufferR1<ffi::F32> scalars, Floats param, Floats grad,
       Floats mu, Floats nu, ffi::Result<Floats> out, ffi::Result<Floats> new_mu,
       ffi::Result<Floats> new_nu, std::optional<ffi::Result<Image>> image,
       const auto&... values) -> ffi::Error {
  JAX_NPU_CALL_BEGINS();
  try {
    const auto attributes = CollectAttributes<AdamWAttributes>(values...);
    const size_t size = param.element_count();
    RequireSize(
        size, {grad.element_count(), mu.element_count(), nu.element_count(),
               out->element_count(), new_mu->element_count(), new_nu->element_count()});
    const AdamWJob job = {
        param.typed_data(),        grad.typed_data(),
        mu.typed_data(),           nu.typed_data(),
        out->typed_data(),         new_mu->typed_data(),
        new_nu->typed_data(),      ImageOf(image, size, attributes.applies),
        static_cast<int64_t>(size)};
    AdamW(job, {attributes.decays, attributes.applies}, DecodeScalars(scalars),
          LoopOn(pool));
    JAX_NPU_CALL_ENDS();
    return ffi::Error::Success();
  } catch (...) {
    return ToError("jax_npu_adamw", std::current_exception());
  }
};

auto AdamWBinding() {
  return BindAttributes<AdamWAttributes>(
      ffi::Ffi::Bind()
          .Ctx<ffi::ThreadPool>()
          .Arg<ffi::BufferR1<ffi::F32>>()  // AdamWScalars
          .Arg<Floats>()                   // param, of any shape, as all that follow
          .Arg<Floats>()                   // grad
          .Arg<Floats>()                   // mu
          .Arg<Floats>()                   // nu
          .Ret<Floats>()                   // the new param, or its update
          .Ret<Floats>()                   // mu
          .Ret<Floats>()                   // nu
          .OptionalRet<Image>());          // the new param, rounded to bf16
}

}  // namespace
}  // namespace jax_npu

#pragma GCC visibility push(default)
extern "C" XLA_FFI_Error* jax_npu_adamw(XLA_FFI_CallFrame* call_frame);
#pragma GCC visibility pop

XLA_FFI_DEFINE_HANDLER_SYMBOL(jax_npu_adamw, jax_npu::kAdamW, jax_npu::AdamWBinding());
