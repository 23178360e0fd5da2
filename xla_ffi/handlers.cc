// The functions that XLA calls for products. A handler decodes, calls and turns errors
// into ffi::Error; everything below it throws.

#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "xla/ffi/api/ffi.h"
#include "xla_ffi/attributes.h"
#include "xla_ffi/base/parallel.h"
#include "xla_ffi/decode.h"
#include "xla_ffi/driver/open.h"
#include "xla_ffi/elastic_threads.h"
#include "xla_ffi/gemm_call.h"
#include "xla_ffi/host/gemm.h"
#include "xla_ffi/npu/gemm.h"
#include "xla_ffi/npu/plan.h"
#include "xla_ffi/to_error.h"
#include "xla_ffi/value_numbers.h"

namespace jax_npu {
namespace {

// The handlers. Each takes its attributes as BindAttributes has XLA pass them.

constexpr auto kGemmHost = [](ffi::ThreadPool pool, ffi::AnyBuffer lhs,
                              ffi::AnyBuffer rhs, ffi::Result<ffi::AnyBuffer> out,
                              const auto&... values) -> ffi::Error {
  JAX_NPU_CALL_BEGINS();
  GemmCall call("host");
  try {
    const auto attributes = CollectAttributes<ProductAttributes>(values...);
    const Axes axes = DecodeAxes(attributes, lhs, rhs, *out);
    const PartPairs parts = DecodeParts(attributes);
    call.Describe(axes, parts);
    const Operand operands[] = {DecodeOperand(lhs, true, axes, parts),
                                DecodeOperand(rhs, false, axes, parts)};
    const Result result = DecodeResult(out);
    if (out->element_count() > 0) {
      HostGemm(axes, parts, operands[0], operands[1], result, LoopOn(pool));
    }
    call.End();
    JAX_NPU_CALL_ENDS();
    return ffi::Error::Success();
  } catch (...) {
    return ToError("xdna_gemm_host", std::current_exception());
  }
};

// Packs an operand that stays the same over several products, for all of them.
constexpr auto kPackHost = [](ffi::ThreadPool pool, ffi::AnyBuffer operand,
                              ffi::Result<ffi::BufferR1<ffi::U32>> packed,
                              const auto&... values) -> ffi::Error {
  JAX_NPU_CALL_BEGINS();
  try {
    const auto attributes = CollectAttributes<PackAttributes>(values...);
    const Axes axes = DecodeAxes(attributes, operand);
    RequirePackedSize(axes, attributes.is_lhs, packed->element_count());
    const Operand decoded = DecodeOperand(operand);
    if (packed->element_count() > 0) {
      PackOperand(axes, attributes.is_lhs, decoded, packed->typed_data(), LoopOn(pool));
    }
    JAX_NPU_CALL_ENDS();
    return ffi::Error::Success();
  } catch (...) {
    return ToError("xdna_pack_host", std::current_exception());
  }
};

// Gives the operand a number that no value had before.
constexpr auto kValueNumber = [](ffi::AnyBuffer,
                                 ffi::Result<ValueNumber> number) -> ffi::Error {
  try {
    EncodeNumber(NextValueNumber(), *number);
    return ffi::Error::Success();
  } catch (...) {
    return ToError("xdna_value_number", std::current_exception());
  }
};

// Has the memory of a product's result carry the numbers of lhs and rhs.
constexpr auto kCarryNumbers = [](ValueNumber lhs, ValueNumber rhs,
                                  ffi::Result<ffi::AnyBuffer> result) -> ffi::Error {
  try {
    const int64_t numbers[] = {DecodeNumber(lhs), DecodeNumber(rhs)};
    std::memcpy(CarriedNumbers(*result), numbers, kCarriedBytes);
    return ffi::Error::Success();
  } catch (...) {
    return ToError("xdna_carry_numbers", std::current_exception());
  }
};

// The number of an operand, which the result's memory carries or which is an array;
// without numbers the operand is a value that no product had before.
int64_t NumberOf(const ffi::RemainingArgs& numbers, size_t operand) {
  if (numbers.size() == 0) return NextValueNumber();
  if (numbers.size() == 1) {
    const auto result = numbers.get<ffi::AnyBuffer>(0);
    int64_t number;
    std::memcpy(&number, CarriedNumbers(result.value()) + operand * sizeof number,
                sizeof number);
    return number;
  }
  const auto number = numbers.get<ValueNumber>(operand);
  if (number.has_value()) return DecodeNumber(*number);
  throw std::invalid_argument("the numbers of both operands are required: " +
                              number.error().message());
}

constexpr char kNpuTarget[] = "xdna_gemm_npu", kSimTarget[] = "xdna_gemm_sim";

// A product on the NPU, as the queue takes it. The request keeps nothing that XLA
// passes but the addresses of the operands and the result.
NpuGemmRequest DecodeRequest(const NpuAttributes& attributes, const char* backend,
                             const Axes& axes, const ffi::AnyBuffer& lhs,
                             const ffi::AnyBuffer& rhs,
                             const ffi::RemainingArgs& numbers, int64_t execution,
                             ffi::Result<ffi::AnyBuffer>& out) {
  NpuPlan plan = DecodePlan(attributes.plan);
  PartPairs parts = DecodeParts(attributes);
  const int64_t m = SizeOf(axes.m), n = SizeOf(axes.n);
  const int64_t k = SizeOf(axes.k) * static_cast<int64_t>(parts.size());
  RequireFits(plan,
              {SizeOf(axes.batch), plan.swapped ? n : m, k, plan.swapped ? m : n});
  const Words& words = attributes.plan.words;
  return {std::move(plan),
          {words.begin(), words.end()},
          Expand(axes),
          std::move(parts),
          DecodeOperand(lhs),
          DecodeOperand(rhs),
          NumberOf(numbers, 0),
          NumberOf(numbers, 1),
          execution,
          DecodeResult(out),
          DecodeCheck(attributes),
          ShapeOf(attributes, lhs, rhs, *out),
          backend};
}

// Ends the call and completes the promise, from any thread. Nothing waits for the
// future before the handler has returned it, so the handler's own thread may complete
// it; the NPU's thread must not, see ElasticThreads.
class Completion {
 public:
  Completion(const char* target, ffi::Promise promise, std::shared_ptr<GemmCall> call)
      : target_(target),
        promise_(std::move(promise)),
        call_(std::move(call)),
        caller_(std::this_thread::get_id()) {}

  void operator()(std::exception_ptr error) const {
    call_->End(!error);
    JAX_NPU_CALL_ENDS();
    const std::function<void()> complete = [promise = promise_, target = target_,
                                            error]() mutable {
      if (error) return promise.SetError(ToError(target, error));
      promise.SetAvailable();
    };
    if (std::this_thread::get_id() == caller_) {
      complete();
    } else {
      TheElasticThreads().Run(complete);
    }
  }

 private:
  const char* target_;
  ffi::Promise promise_;
  std::shared_ptr<GemmCall> call_;
  std::thread::id caller_;
};

// Packs and returns; the future is available when the NPU has computed. Of what XLA
// passes, only the memory of the operands and of the result lives that long.
template <const char* target>
constexpr auto kGemmNpu =
    [](ffi::ThreadPool pool, ffi::RunId execution, ffi::AnyBuffer lhs,
       ffi::AnyBuffer rhs, ffi::RemainingArgs numbers, ffi::Result<ffi::AnyBuffer> out,
       const auto&... values) -> ffi::Future {
  JAX_NPU_CALL_BEGINS();
  const char* backend = target == kSimTarget ? "sim" : "npu";
  const auto call = std::make_shared<GemmCall>(backend);
  ffi::Promise promise;
  ffi::Future future(promise);
  const Completion done(target, promise, call);
  try {
    const auto attributes = CollectAttributes<NpuAttributes>(values...);
    const Axes axes = DecodeAxes(attributes, lhs, rhs, *out);
    NpuGemmRequest request = DecodeRequest(attributes, backend, axes, lhs, rhs, numbers,
                                           execution.run_id, out);
    call->Describe(axes, request.parts);
    Driver& driver = OpenDriver(backend, std::string(attributes.device),
                                std::string(attributes.design_key));
    NpuGemm(driver, std::move(request), LoopOn(pool), done);
  } catch (...) {
    done(std::current_exception());
  }
  return future;
};

auto PackBinding() {
  return BindAttributes<PackAttributes>(
      ffi::Ffi::Bind()
          .Ctx<ffi::ThreadPool>()
          .Arg<ffi::AnyBuffer>()             // lhs or rhs
          .Ret<ffi::BufferR1<ffi::U32>>());  // (PackedOperandWords(rows, k),)
}

auto HostBinding() {
  return BindAttributes<ProductAttributes>(
      ffi::Ffi::Bind()
          .Ctx<ffi::ThreadPool>()
          .Arg<ffi::AnyBuffer>()    // lhs, in any order
          .Arg<ffi::AnyBuffer>()    // rhs, in any order
          .Ret<ffi::AnyBuffer>());  // out, in any order
}

auto NpuBinding() {
  return BindAttributes<NpuAttributes>(
      ffi::Ffi::Bind()
          .Ctx<ffi::ThreadPool>()
          .Ctx<ffi::RunId>()
          .Arg<ffi::AnyBuffer>()    // lhs, in any order
          .Arg<ffi::AnyBuffer>()    // rhs, in any order
          .RemainingArgs()          // numbers: carried by out, of lhs and rhs, or none
          .Ret<ffi::AnyBuffer>());  // out, in any order
}

}  // namespace
}  // namespace jax_npu

// Python looks these symbols up with ctypes.
#pragma GCC visibility push(default)
extern "C" {
XLA_FFI_Error* xdna_gemm_host(XLA_FFI_CallFrame* call_frame);
XLA_FFI_Error* xdna_pack_host(XLA_FFI_CallFrame* call_frame);
XLA_FFI_Error* xdna_value_number(XLA_FFI_CallFrame* call_frame);
XLA_FFI_Error* xdna_carry_numbers(XLA_FFI_CallFrame* call_frame);
XLA_FFI_Error* xdna_gemm_npu(XLA_FFI_CallFrame* call_frame);
XLA_FFI_Error* xdna_gemm_sim(XLA_FFI_CallFrame* call_frame);
}
#pragma GCC visibility pop

XLA_FFI_DEFINE_HANDLER_SYMBOL(xdna_gemm_host, jax_npu::kGemmHost,
                              jax_npu::HostBinding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(xdna_pack_host, jax_npu::kPackHost,
                              jax_npu::PackBinding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(xdna_value_number, jax_npu::kValueNumber,
                              jax_npu::ffi::Ffi::Bind()
                                  .Arg<jax_npu::ffi::AnyBuffer>()
                                  .Ret<jax_npu::ValueNumber>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(xdna_carry_numbers, jax_npu::kCarryNumbers,
                              jax_npu::ffi::Ffi::Bind()
                                  .Arg<jax_npu::ValueNumber>()  // of lhs
                                  .Arg<jax_npu::ValueNumber>()  // of rhs
                                  .Ret<jax_npu::ffi::AnyBuffer>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(xdna_gemm_npu, jax_npu::kGemmNpu<jax_npu::kNpuTarget>,
                              jax_npu::NpuBinding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(xdna_gemm_sim, jax_npu::kGemmNpu<jax_npu::kSimTarget>,
                              jax_npu::NpuBinding());
