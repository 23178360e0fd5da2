#include "xla_ffi/base/labels.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

namespace jax_npu {
namespace {

constexpr int64_t kUnknown = -1;
constexpr const char* kNames[] = {"lhs", "rhs", "out"};
enum TermIndex { kLhs, kRhs, kOut, kNumTerms };

// What a label stands for.
struct Dimension {
  int64_t size = kUnknown;
  bool is_in[kNumTerms] = {};
  int64_t strides[kNumTerms] = {};  // in elements, 0 where a term lacks the label
};

using Dimensions = std::vector<Dimension>;  // by label

[[noreturn]] void Refuse(const std::string& problem) {
  throw std::invalid_argument(problem + "; the program was not made for these arrays");
}

std::string Name(int64_t label) { return "label " + std::to_string(label); }

void AddTerm(const Term& term, TermIndex index, Dimensions& dimensions) {
  const std::string name = kNames[index];
  if (term.sizes && term.sizes->size != term.labels.size) {
    Refuse(name + " has " + std::to_string(term.sizes->size) + " dimensions and " +
           std::to_string(term.labels.size) + " labels");
  }
  for (size_t i = 0; i < term.labels.size; ++i) {
    const int64_t label = term.labels.data[i];
    if (label < 0 || label >= static_cast<int64_t>(dimensions.size())) {
      Refuse(Name(label) + " of " + name + " is none of the operands'");
    }
    Dimension& dimension = dimensions[label];
    if (dimension.is_in[index]) Refuse(Name(label) + " stands twice in " + name);
    dimension.is_in[index] = true;
    if (!term.sizes) continue;
    const int64_t size = term.sizes->data[i];
    if (size < 0 || (dimension.size != kUnknown && dimension.size != size)) {
      Refuse(Name(label) + " has size " + std::to_string(size) + " in " + name +
             " and " + std::to_string(dimension.size) + " before");
    }
    dimension.size = size;
  }
}

void RequirePairs(const Dimensions& dimensions) {
  for (size_t label = 0; label < dimensions.size(); ++label) {
    const Dimension& dimension = dimensions[label];
    const auto num_terms =
        std::count(dimension.is_in, dimension.is_in + kNumTerms, true);
    if (num_terms == 1) Refuse(Name(label) + " stands in one term alone");
    if (num_terms != 0 && dimension.size == kUnknown) {
      Refuse(Name(label) + " has no size: both operands are packed");
    }
  }
}

// Row-major strides.
void AddStrides(const Term& term, TermIndex index, Dimensions& dimensions) {
  int64_t stride = 1;
  int64_t num_elements = 1;  // if no size were 0: that no part of the product overflows
  for (size_t i = term.labels.size; i-- > 0;) {
    Dimension& dimension = dimensions[term.labels.data[i]];
    dimension.strides[index] = stride;
    const int64_t size = std::max<int64_t>(dimension.size, 1);
    if (num_elements > kMaxElements / size) {
      Refuse(std::string(kNames[index]) + " has too many elements");
    }
    num_elements *= size;
    stride *= dimension.size;
  }
}

// Appends a loop inside the others, or joins it with the innermost of them where all
// three arrays step evenly.
void AddLoop(const Dimension& dimension, Loops& loops) {
  const auto& [lhs, rhs, out] = dimension.strides;
  const int64_t size = dimension.size;
  if (size == 1) return;
  if (!loops.empty() && loops.back().lhs == lhs * size &&
      loops.back().rhs == rhs * size && loops.back().out == out * size) {
    loops.back() = {loops.back().size * size, lhs, rhs, out};
  } else {
    loops.push_back({size, lhs, rhs, out});
  }
}

}  // namespace

Axes AxesOf(const Term& lhs, const Term& rhs, const Term& out) {
  Dimensions dimensions(lhs.labels.size + rhs.labels.size);
  const Term* terms[] = {&lhs, &rhs, &out};
  for (const TermIndex i : {kLhs, kRhs, kOut}) AddTerm(*terms[i], i, dimensions);
  RequirePairs(dimensions);
  for (const TermIndex i : {kLhs, kRhs, kOut}) AddStrides(*terms[i], i, dimensions);
  Axes axes;
  for (const int64_t label : out.labels) {
    const Dimension& dimension = dimensions[label];
    const bool in_lhs = dimension.is_in[kLhs], in_rhs = dimension.is_in[kRhs];
    AddLoop(dimension, in_lhs && in_rhs ? axes.batch : in_lhs ? axes.m : axes.n);
  }
  for (const int64_t label : lhs.labels) {
    if (!dimensions[label].is_in[kOut]) AddLoop(dimensions[label], axes.k);
  }
  return axes;
}

}  // namespace jax_npu
