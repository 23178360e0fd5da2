#include "xla_ffi/decode.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "xla_ffi/base/environment.h"
#include "xla_ffi/base/hash.h"
#include "xla_ffi/base/labels.h"

namespace jax_npu {
namespace {

constexpr int64_t kNumParts = 3;  // bf16 parts of an f32
// Longer matrices take too long to multiply on the host, as a self-test does.
constexpr int64_t kMaxSelfTestSize = 2048;

Numbers AsNumbers(Int64s numbers) { return {numbers.begin(), numbers.size()}; }

bool IsPacked(const ffi::AnyBuffer& buffer) {
  return buffer.element_type() == ffi::U32;
}

Term TermOf(Int64s labels, const ffi::AnyBuffer& buffer) {
  Term term{AsNumbers(labels), std::nullopt};
  if (!IsPacked(buffer)) term.sizes = AsNumbers(buffer.dimensions());
  return term;
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

void RequireNoBatch(const Axes& axes) {
  if (SizeOf(axes.batch) == 1) return;
  throw std::invalid_argument("an operand is packed for products without a batch");
}

// The test runs two products as a batch: see RunSelfTest.
SelfTest DecodeSelfTest(const PlanAttributes& attributes, NpuArithmetic expected) {
  const NpuPlan plan = DecodePlan(attributes);
  RequireWholeTiles(plan);
  const int64_t* grid = plan.runs[0].grid;
  if (plan.runs.size() != 1 || grid[0] != 2) {
    throw std::invalid_argument("a self-test is one run with a batch of two");
  }
  for (const int64_t number :
       {plan.block_m, plan.block_n, plan.padded_k, grid[1], grid[2]}) {
    if (number >= 1 && number <= kMaxSelfTestSize) continue;
    throw std::invalid_argument("a self-test has sizes from 1 to " +
                                std::to_string(kMaxSelfTestSize) + ", got " +
                                std::to_string(number));
  }
  const ImageSizes sizes = {grid[1] * plan.block_m, plan.padded_k,
                            grid[2] * plan.block_n, plan.a, plan.b};
  if (sizes.m > kMaxSelfTestSize || sizes.n > kMaxSelfTestSize) {
    throw std::invalid_argument("a self-test is of matrices up to " +
                                std::to_string(kMaxSelfTestSize) + " rows");
  }
  return {sizes, {attributes.words.begin(), attributes.words.end()}, expected};
}

}  // namespace

Axes DecodeAxes(const ProductAttributes& attributes, const ffi::AnyBuffer& lhs,
                const ffi::AnyBuffer& rhs, const ffi::AnyBuffer& out) {
  return AxesOf(TermOf(attributes.lhs, lhs), TermOf(attributes.rhs, rhs),
                {AsNumbers(attributes.out), AsNumbers(out.dimensions())});
}

Axes DecodeAxes(const PackAttributes& attributes, const ffi::AnyBuffer& operand) {
  const Numbers sizes[] = {AsNumbers(operand.dimensions()),
                           AsNumbers(attributes.other_sizes)};
  const bool is_lhs = attributes.is_lhs;
  const Axes axes = AxesOf({AsNumbers(attributes.lhs), sizes[is_lhs ? 0 : 1]},
                           {AsNumbers(attributes.rhs), sizes[is_lhs ? 1 : 0]},
                           {AsNumbers(attributes.out), std::nullopt});
  RequireNoBatch(axes);
  return axes;
}

PartPairs DecodeParts(const ProductAttributes& attributes) {
  const Int64s &lhs = attributes.lhs_parts, &rhs = attributes.rhs_parts;
  if (lhs.size() != rhs.size() || lhs.size() == 0 ||
      lhs.size() > kNumParts * kNumParts) {
    throw std::invalid_argument(
        "lhs_parts and rhs_parts must be equally many, from 1 to 9, got " +
        std::to_string(lhs.size()) + " and " + std::to_string(rhs.size()));
  }
  PartPairs parts;
  for (size_t i = 0; i < lhs.size(); ++i) {
    for (const int64_t part : {lhs[i], rhs[i]}) {
      if (part >= 0 && part < kNumParts) continue;
      throw std::invalid_argument("a part must be 0, 1 or 2, got " +
                                  std::to_string(part));
    }
    parts.emplace_back(lhs[i], rhs[i]);
  }
  return parts;
}

Operand DecodeOperand(const ffi::AnyBuffer& buffer) {
  return {buffer.untyped_data(), DecodeDType(buffer.element_type())};
}

Operand DecodeOperand(const ffi::AnyBuffer& buffer, bool is_lhs, const Axes& axes,
                      const PartPairs& parts) {
  if (!IsPacked(buffer)) return DecodeOperand(buffer);
  RequireNoBatch(axes);
  if (parts != PartPairs{{0, 0}}) {
    throw std::invalid_argument("a packed operand has the first part of values alone");
  }
  RequirePackedSize(axes, is_lhs, buffer.element_count());
  return {buffer.untyped_data(), DType::kPacked};
}

Result DecodeResult(ffi::Result<ffi::AnyBuffer>& buffer) {
  return {buffer->untyped_data(), DecodeDType(buffer->element_type())};
}

void RequirePackedSize(const Axes& axes, bool is_lhs, size_t num_words) {
  const int64_t wanted =
      PackedOperandWords(SizeOf(is_lhs ? axes.m : axes.n), SizeOf(axes.k));
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
  if (attributes.image_tile != 0 && attributes.image_tile != kImageTile) {
    throw std::invalid_argument("image_tile must be 0 or " +
                                std::to_string(kImageTile) + ", got " +
                                std::to_string(attributes.image_tile));
  }
  const bool is_tiled = attributes.image_tile != 0;
  auto num_left = static_cast<int64_t>(attributes.words.size());
  for (const int64_t count : counts) {
    // Stays negative: no count of words is 0 or less.
    num_left = count < 1 || count > num_left ? -1 : num_left - count;
  }
  if (num_left != 0) {
    throw std::invalid_argument("the runs' instructions are not as many as planned");
  }
  std::vector<NpuRun> runs(num_runs);  // from (runs, 3), (runs, 3) and (runs,)
  for (size_t i = 0; i < num_runs; ++i) {
    std::copy_n(starts.begin() + 3 * i, 3, runs[i].start);
    std::copy_n(grids.begin() + 3 * i, 3, runs[i].grid);
    runs[i].num_words = counts[i];
  }
  return {attributes.block_m,
          attributes.block_n,
          attributes.padded_k,
          attributes.m_multiple,
          attributes.n_multiple,
          {attributes.a_k_is_rows, is_tiled},
          {attributes.b_k_is_rows, is_tiled},
          attributes.swapped,
          std::move(runs)};
}

CheckPolicy DecodeCheck(const NpuAttributes& attributes) {
  const CheckMode mode = ParseCheckMode(attributes.check);
  const NpuArithmetic expected = ParseArithmetic(attributes.arithmetic);
  CheckPolicy policy{mode, attributes.strict, expected, nullptr, attributes.stand_ins};
  if (mode != CheckMode::kOff && !policy.stand_ins) {
    policy.self_test = std::make_shared<const SelfTest>(
        DecodeSelfTest(attributes.self_test, expected));
  }
  return policy;
}

uint64_t ShapeOf(const ProductAttributes& attributes, const ffi::AnyBuffer& lhs,
                 const ffi::AnyBuffer& rhs, const ffi::AnyBuffer& out) {
  Hash hash;
  const auto add = [&](const Int64s& numbers) {
    hash.Add(numbers.size());
    for (const int64_t number : numbers) hash.Add(number);
  };
  for (const Int64s& numbers : {attributes.lhs, attributes.rhs, attributes.out,
                                attributes.lhs_parts, attributes.rhs_parts}) {
    add(numbers);
  }
  for (const ffi::AnyBuffer* buffer : {&lhs, &rhs, &out}) {
    add(buffer->dimensions());
    hash.Add(static_cast<uint64_t>(buffer->element_type()));
  }
  return hash.value();
}

}  // namespace jax_npu
