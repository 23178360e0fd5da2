#include "xla_ffi/decode.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "xla_ffi/base/environment.h"
#include "xla_ffi/base/hash.h"

namespace jax_npu {
namespace {

// Four numbers for each axis: its size, and its stride in lhs, rhs and out.
AxisSpan DecodeAxes(Int64s numbers) {
  static_assert(sizeof(Axis) == 4 * sizeof(int64_t));
  if (numbers.size() % 4 != 0) {
    throw std::invalid_argument("axes need four numbers each");
  }
  return {reinterpret_cast<const Axis*>(numbers.begin()),
          static_cast<int64_t>(numbers.size() / 4)};
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

// The test runs two products as a batch: see RunSelfTest.
SelfTest DecodeSelfTest(const PlanAttributes& attributes, NpuArithmetic expected) {
  const NpuPlan plan = DecodePlan(attributes);
  if (plan.runs.size() != 1 || plan.runs[0].grid[0] != 2) {
    throw std::invalid_argument("a self-test is one run with a batch of two");
  }
  const int64_t* grid = plan.runs[0].grid;
  return {{grid[1] * plan.block_m, plan.padded_k, grid[2] * plan.block_n,
           plan.b_column_major},
          {attributes.words.begin(), attributes.words.end()},
          expected};
}

}  // namespace

Loops DecodeLoops(const ProductAttributes& attributes) {
  return {DecodeAxes(attributes.batch), DecodeAxes(attributes.m),
          DecodeAxes(attributes.k), DecodeAxes(attributes.n)};
}

Loops DecodeLoops(const PackAttributes& attributes) {
  return {DecodeAxes({}), DecodeAxes(attributes.m), DecodeAxes(attributes.k),
          DecodeAxes(attributes.n)};
}

PartPairs DecodeParts(const ProductAttributes& attributes) {
  const Int64s &lhs = attributes.lhs_parts, &rhs = attributes.rhs_parts;
  if (lhs.size() != rhs.size()) {
    throw std::invalid_argument("lhs_parts and rhs_parts differ in length");
  }
  PartPairs parts;
  for (size_t i = 0; i < lhs.size(); ++i) parts.emplace_back(lhs[i], rhs[i]);
  return parts;
}

Operand DecodeOperand(const ffi::AnyBuffer& buffer) {
  return {buffer.untyped_data(), DecodeDType(buffer.element_type())};
}

Result DecodeResult(ffi::Result<ffi::AnyBuffer>& buffer) {
  return {buffer->untyped_data(), DecodeDType(buffer->element_type())};
}

void RequirePackedSize(const Loops& loops, bool is_lhs, size_t num_words) {
  const AxisSpan& rows = is_lhs ? loops.m : loops.n;
  const int64_t wanted = PackedOperandWords(NumIndices(rows), NumIndices(loops.k));
  if (static_cast<int64_t>(num_words) == wanted) return;
  throw std::invalid_argument("a packed operand needs " + std::to_string(wanted) +
                              " words, got " + std::to_string(num_words) + "; " +
                              kHostIsaVariable + " must stay as it was at compilation");
}

NpuPlan DecodePlan(const PlanAttributes& attributes) {
  const Int64s &starts = attributes.run_starts, &grids = attributes.run_grids;
  const Int64s& counts = attributes.run_num_words;
  const size_t num_runs = counts.size();
  if (num_runs == 0 || starts.size() != 3 * num_runs || grids.size() != 3 * num_runs) {
    throw std::invalid_argument(
        "a plan needs runs, each with three numbers of run_starts and of run_grids and "
        "one of run_num_words");
  }
  const int64_t num_words = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  if (num_words != static_cast<int64_t>(attributes.words.size())) {
    throw std::invalid_argument("the runs' instructions are not as many as planned");
  }
  std::vector<NpuRun> runs(num_runs);  // from (runs, 3), (runs, 3) and (runs,)
  for (size_t i = 0; i < num_runs; ++i) {
    std::copy_n(starts.begin() + 3 * i, 3, runs[i].start);
    std::copy_n(grids.begin() + 3 * i, 3, runs[i].grid);
    runs[i].num_words = counts[i];
  }
  return {attributes.block_m,        attributes.block_n, attributes.padded_k,
          attributes.b_column_major, attributes.swapped, std::move(runs)};
}

CheckPolicy DecodeCheck(const NpuAttributes& attributes) {
  const CheckMode mode = ParseCheckMode(attributes.check);
  const NpuArithmetic expected = ParseArithmetic(attributes.arithmetic);
  CheckPolicy policy{mode, attributes.strict, expected, nullptr};
  if (mode != CheckMode::kOff) {
    policy.self_test = std::make_shared<const SelfTest>(
        DecodeSelfTest(attributes.self_test, expected));
  }
  return policy;
}

uint64_t ShapeOf(const ProductAttributes& attributes, const ffi::AnyBuffer& lhs,
                 const ffi::AnyBuffer& rhs, const ffi::AnyBuffer& out) {
  Hash hash;
  for (const Int64s& numbers :
       {attributes.batch, attributes.m, attributes.k, attributes.n,
        attributes.lhs_parts, attributes.rhs_parts}) {
    hash.Add(numbers.size());
    for (const int64_t number : numbers) hash.Add(number);
  }
  for (const ffi::AnyBuffer* buffer : {&lhs, &rhs, &out}) {
    hash.Add(static_cast<uint64_t>(buffer->element_type()));
  }
  return hash.value();
}

}  // namespace jax_npu
