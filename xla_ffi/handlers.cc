// The functions that XLA calls. A handler decodes, calls and turns errors into
// ffi::Error; what is below it throws.

#include <algorithm>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "xla/ffi/api/ffi.h"
#include "xla_ffi/base/contraction.h"
#include "xla_ffi/base/hash.h"
#include "xla_ffi/base/parallel.h"
#include "xla_ffi/driver/driver.h"
#include "xla_ffi/elastic_threads.h"
#include "xla_ffi/gemm_call.h"
#include "xla_ffi/host/gemm.h"
#include "xla_ffi/host/isa/kernels.h"
#include "xla_ffi/npu/gemm.h"

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
    case ffi::U32:
      return DType::kPacked;
    default:
      throw std::invalid_argument("operands and result must be float32 or bfloat16");
  }
}

// Five numbers, then seven a run, as jax_npu/lowering/plans.py writes them: see
// NpuPlan.
NpuPlan DecodePlan(Int64s numbers, size_t num_words) {
  constexpr size_t kHead = 5;
  static_assert(sizeof(NpuRun) == 7 * sizeof(int64_t));
  if (numbers.size() < kHead + 7 || (numbers.size() - kHead) % 7 != 0) {
    throw std::invalid_argument("a plan needs five numbers, and seven a run");
  }
  const auto* first = reinterpret_cast<const NpuRun*>(numbers.begin() + kHead);
  const std::vector<NpuRun> runs(first, first + (numbers.size() - kHead) / 7);
  int64_t num_planned = 0;
  for (const NpuRun& run : runs) num_planned += run.num_words;
  if (num_planned != static_cast<int64_t>(num_words)) {
    throw std::invalid_argument("the runs' instructions are not as many as planned");
  }
  return {numbers[0], numbers[1], numbers[2], numbers[3] != 0, numbers[4] != 0, runs};
}

// Without checks a context is not tested either.
CheckPolicy DecodeCheck(std::string_view check, bool strict,
                        std::string_view arithmetic, Int64s self_test_plan,
                        ffi::Span<const uint32_t> self_test_words) {
  const CheckMode mode = ParseCheckMode(check);
  const NpuArithmetic expected = ParseArithmetic(arithmetic);
  if (mode == CheckMode::kOff) return {mode, strict, expected, nullptr};
  SelfTest test{DecodePlan(self_test_plan, self_test_words.size()),
                {self_test_words.begin(), self_test_words.end()},
                expected};
  if (test.plan.runs.size() != 1 || test.plan.runs[0].grid[0] != 2) {
    throw std::invalid_argument("a self-test is one run with a batch of two");
  }
  return {mode, strict, expected, std::make_shared<const SelfTest>(std::move(test))};
}

// Stands for what makes products alike: sizes, strides, parts and types.
uint64_t ShapeOf(std::initializer_list<Int64s> attributes, const ffi::AnyBuffer& lhs,
                 const ffi::AnyBuffer& rhs, const ffi::AnyBuffer& out) {
  Hash hash;
  for (const Int64s& numbers : attributes) {
    hash.Add(numbers.size());
    for (const int64_t number : numbers) hash.Add(number);
  }
  for (const ffi::AnyBuffer* buffer : {&lhs, &rhs, &out}) {
    hash.Add(static_cast<uint64_t>(buffer->element_type()));
  }
  return hash.value();
}

Operand DecodeOperand(const ffi::AnyBuffer& buffer) {
  return {buffer.untyped_data(), DecodeDType(buffer.element_type())};
}

Result DecodeResult(ffi::Result<ffi::AnyBuffer>& buffer) {
  return {buffer->untyped_data(), DecodeDType(buffer->element_type())};
}

// Programs are compiled for the instruction set of the time of compilation.
void CheckPackedSize(const Contraction& contraction, bool is_lhs, size_t num_words) {
  const Group& rows = is_lhs ? contraction.m : contraction.n;
  const int64_t wanted = PackedOperandWords(rows.size(), contraction.k.size());
  if (static_cast<int64_t>(num_words) == wanted) return;
  throw std::invalid_argument("a packed operand needs " + std::to_string(wanted) +
                              " words, got " + std::to_string(num_words) +
                              "; JAX_NPU_HOST_ISA must stay as it was at compilation");
}

// The calling thread counts as one worker of the pool.
ParallelLoop LoopOn(ffi::ThreadPool& pool) {
  return {pool.num_threads(),
          [&pool](int64_t num_items, std::function<void(int64_t)> body) {
            ParallelFor(pool, pool.num_threads(), num_items, std::move(body));
          }};
}

ffi::Error ToError(const char* target, const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& raised) {
    return ffi::Error::Internal(std::string(target) + ": " + raised.what());
  }
}

ffi::Error GemmHost(ffi::ThreadPool pool, ffi::AnyBuffer lhs, ffi::AnyBuffer rhs,
                    ffi::Result<ffi::AnyBuffer> out, Int64s batch, Int64s m, Int64s k,
                    Int64s n, Int64s lhs_parts, Int64s rhs_parts) {
  JAX_NPU_CALL_BEGINS();
  GemmCall call("host");
  try {
    const Contraction contraction = {DecodeGroup(batch), DecodeGroup(m), DecodeGroup(k),
                                     DecodeGroup(n)};
    const PartPairs parts = DecodeParts(lhs_parts, rhs_parts);
    call.Describe(contraction, parts);
    if (lhs.element_type() == ffi::U32) {
      CheckPackedSize(contraction, true, lhs.element_count());
    }
    if (rhs.element_type() == ffi::U32) {
      CheckPackedSize(contraction, false, rhs.element_count());
    }
    HostGemm(contraction, parts, DecodeOperand(lhs), DecodeOperand(rhs),
             DecodeResult(out), LoopOn(pool));
    call.End();
    JAX_NPU_CALL_ENDS();
    return ffi::Error::Success();
  } catch (...) {
    return ToError("xdna_gemm_host", std::current_exception());
  }
}

// An operand that stays the same over several products, packed for all of them.
ffi::Error PackHost(ffi::ThreadPool pool, ffi::AnyBuffer operand,
                    ffi::Result<ffi::BufferR1<ffi::U32>> packed, Int64s m, Int64s k,
                    Int64s n, bool is_lhs) {
  JAX_NPU_CALL_BEGINS();
  try {
    const Contraction contraction = {DecodeGroup({}), DecodeGroup(m), DecodeGroup(k),
                                     DecodeGroup(n)};
    CheckPackedSize(contraction, is_lhs, packed->element_count());
    PackOperand(contraction, is_lhs, DecodeOperand(operand), packed->typed_data(),
                LoopOn(pool));
    JAX_NPU_CALL_ENDS();
    return ffi::Error::Success();
  } catch (...) {
    return ToError("xdna_pack_host", std::current_exception());
  }
}

constexpr char kNpuTarget[] = "xdna_gemm_npu", kSimTarget[] = "xdna_gemm_sim";

// Packs and returns; the future is there when the NPU has computed. Nothing that XLA
// passes but the operands' and the result's memory lives that long.
template <const char* target>
ffi::Future GemmNpu(ffi::ThreadPool pool, ffi::AnyBuffer lhs, ffi::AnyBuffer rhs,
                    ffi::Result<ffi::AnyBuffer> out, Int64s batch, Int64s m, Int64s k,
                    Int64s n, Int64s lhs_parts, Int64s rhs_parts, Int64s plan,
                    ffi::Span<const uint32_t> words, std::string_view library,
                    std::string_view design, std::string_view check, bool strict,
                    std::string_view arithmetic, Int64s self_test_plan,
                    ffi::Span<const uint32_t> self_test_words) {
  JAX_NPU_CALL_BEGINS();
  const char* backend = target == kSimTarget ? "sim" : "npu";
  const auto call = std::make_shared<GemmCall>(backend);
  ffi::Promise promise;
  ffi::Future future(promise);
  const auto caller = std::this_thread::get_id();
  const auto done = [promise, caller, call](std::exception_ptr error) {
    call->End(!error);
    JAX_NPU_CALL_ENDS();
    const std::function<void()> complete = [promise, error]() mutable {
      if (error) return promise.SetError(ToError(target, error));
      promise.SetAvailable();
    };
    // Nothing waits for the future before this function has returned it.
    if (std::this_thread::get_id() == caller) {
      complete();
    } else {
      TheElasticThreads().Run(complete);
    }
  };
  try {
    Contraction contraction = {DecodeGroup(batch), DecodeGroup(m), DecodeGroup(k),
                               DecodeGroup(n)};
    PartPairs parts = DecodeParts(lhs_parts, rhs_parts);
    call->Describe(contraction, parts);
    NpuGemm(OpenDriver(std::string(library).c_str(), std::string(design).c_str()),
            {DecodePlan(plan, words.size()),
             {words.begin(), words.end()},
             std::move(contraction),
             std::move(parts),
             DecodeOperand(lhs),
             DecodeOperand(rhs),
             DecodeResult(out),
             DecodeCheck(check, strict, arithmetic, self_test_plan, self_test_words),
             ShapeOf({batch, m, k, n, lhs_parts, rhs_parts}, lhs, rhs, *out),
             backend},
            LoopOn(pool), done);
  } catch (...) {
    done(std::current_exception());
  }
  return future;
}

auto PackBinding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<ffi::AnyBuffer>()           // lhs or rhs
      .Ret<ffi::BufferR1<ffi::U32>>()  // its words, see PackedOperandWords
      .Attr<Int64s>("m")
      .Attr<Int64s>("k")
      .Attr<Int64s>("n")
      .Attr<bool>("is_lhs");
}

// What every GEMM takes.
auto GemmBinding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<ffi::AnyBuffer>()  // lhs
      .Arg<ffi::AnyBuffer>()  // rhs
      .Ret<ffi::AnyBuffer>()  // out
      .Attr<Int64s>("batch")
      .Attr<Int64s>("m")
      .Attr<Int64s>("k")
      .Attr<Int64s>("n")
      .Attr<Int64s>("lhs_parts")
      .Attr<Int64s>("rhs_parts");
}

auto NpuGemmBinding() {
  return GemmBinding()
      .Attr<Int64s>("plan")
      .Attr<ffi::Span<const uint32_t>>("words")  // of all runs
      .Attr<std::string_view>("library")         // of the driver
      .Attr<std::string_view>("design")          // the file that it loads
      .Attr<std::string_view>("check")           // see CheckPolicy
      .Attr<bool>("strict")
      .Attr<std::string_view>("arithmetic")  // that the design was built for
      .Attr<Int64s>("self_test_plan")        // of one run
      .Attr<ffi::Span<const uint32_t>>("self_test_words");
}

}  // namespace
}  // namespace jax_npu

// What ctypes looks up.
#pragma GCC visibility push(default)
extern "C" {
XLA_FFI_Error* xdna_gemm_host(XLA_FFI_CallFrame* call_frame);
XLA_FFI_Error* xdna_pack_host(XLA_FFI_CallFrame* call_frame);
XLA_FFI_Error* xdna_gemm_npu(XLA_FFI_CallFrame* call_frame);
XLA_FFI_Error* xdna_gemm_sim(XLA_FFI_CallFrame* call_frame);
const char* jax_npu_host_isa(const char** error);
int64_t jax_npu_packed_words(int64_t num_rows, int64_t num_k);
}
#pragma GCC visibility pop

XLA_FFI_DEFINE_HANDLER_SYMBOL(xdna_gemm_host, jax_npu::GemmHost,
                              jax_npu::GemmBinding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(xdna_pack_host, jax_npu::PackHost,
                              jax_npu::PackBinding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(xdna_gemm_npu, jax_npu::GemmNpu<jax_npu::kNpuTarget>,
                              jax_npu::NpuGemmBinding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(xdna_gemm_sim, jax_npu::GemmNpu<jax_npu::kSimTarget>,
                              jax_npu::NpuGemmBinding());

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

// Words of an operand that xdna_pack_host packs.
extern "C" int64_t jax_npu_packed_words(int64_t num_rows, int64_t num_k) {
  return jax_npu::PackedOperandWords(num_rows, num_k);
}
