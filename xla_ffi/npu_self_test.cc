#include "npu_self_test.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <tuple>

#include "npu_check.h"
#include "npu_known_products.h"

namespace jax_npu {
namespace {

using Matrix = std::vector<double>;

// The mean error that rounding to nearest may have, over the mass. On these operands
// bfp16 rounded downwards has -1.6e-2.
constexpr double kMaxBias = 1e-3;
constexpr double kMaxBfp16Error = 0x1p-6;  // of an element, over its mass

std::string DescribeWrong(const float* c, const Matrix& expected, int64_t n) {
  int64_t count = 0, first = 0;
  for (int64_t i = expected.size() - 1; i >= 0; --i) {
    if (c[i] == expected[i]) continue;
    ++count;
    first = i;
  }
  if (count == 0) return "";
  char text[200];
  std::snprintf(text, sizeof text,
                "%lld of %zu elements of a product of integers are wrong, the first is "
                "(%lld, %lld) with %g, not %g",
                static_cast<long long>(count), expected.size(),
                static_cast<long long>(first / n), static_cast<long long>(first % n),
                c[first], expected[first]);
  return text;
}

// The largest error of an element, and the mean one, over the exact product. All
// operands are positive, so that this is the accumulated mass.
struct Errors {
  double largest = 0, mean = 0;
};

Errors ErrorsOf(const float* c, const Matrix& expected, const Matrix& mass) {
  Errors errors;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double error = (c[i] - expected[i]) / mass[i];
    errors.mean += error / expected.size();
    errors.largest =
        std::isnan(error) ? INFINITY : std::max(errors.largest, std::abs(error));
  }
  return errors;
}

NpuArithmetic FindArithmetic(const float* c, const KnownProduct& product, int64_t k) {
  const Matrix& mass = product.results.at(NpuArithmetic::kF32);
  for (const NpuArithmetic arithmetic : kKnownArithmetics) {
    const Errors errors = ErrorsOf(c, product.results.at(arithmetic), mass);
    if (errors.largest <= MaxSumError(k)) return arithmetic;
  }
  return NpuArithmetic::kOther;
}

std::string DescribeRounding(const float* c, const KnownProduct& product, int64_t k,
                             NpuArithmetic expected, NpuArithmetic found) {
  if (found == NpuArithmetic::kF32 || found == expected) return "";
  const Matrix& exact = product.results.at(NpuArithmetic::kF32);
  const Errors errors = ErrorsOf(c, exact, exact);
  const bool rounds = expected == NpuArithmetic::kBfp16;
  const double allowed = (rounds ? kMaxBfp16Error : 0) + MaxSumError(k);
  if (errors.largest <= allowed && std::abs(errors.mean) <= kMaxBias) return "";
  char text[200];
  std::snprintf(
      text, sizeof text,
      "a product of positive numbers is off by %.2g of its size on average and "
      "%.2g at most, which %s does not explain%s",
      errors.mean, errors.largest, NameOf(expected),
      found == NpuArithmetic::kBfp16Floor
          ? ": its cores round downwards (floor), not to nearest even"
          : "");
  return text;
}

struct Run {
  std::vector<std::shared_ptr<NpuBuffer>> arguments;  // A, B, C
  const float* c() const {
    return reinterpret_cast<const float*>(arguments[2]->data());
  }
};

Run Load(Driver& driver, const KnownProduct& product, size_t c_size) {
  const size_t a_bytes = product.a.size() * sizeof(uint16_t);
  const size_t b_bytes = product.b.size() * sizeof(uint16_t);
  Run run{{driver.Allocate(0, a_bytes), driver.Allocate(1, b_bytes),
           driver.Allocate(2, c_size * sizeof(float))}};
  const auto [a, b, c] = std::tie(run.arguments[0], run.arguments[1], run.arguments[2]);
  std::memcpy(a->data(), product.a.data(), a_bytes);
  std::memcpy(b->data(), product.b.data(), b_bytes);
  FillSentinel(reinterpret_cast<float*>(c->data()), c_size);
  a->SyncToDevice(a_bytes);
  b->SyncToDevice(b_bytes);
  c->SyncToDevice(c_size * sizeof(float));
  return run;
}

}  // namespace

SelfTestResult JudgeSelfTest(const ImageSizes& sizes, NpuArithmetic expected,
                             const float* of_integers, const float* of_rounded) {
  const KnownProduct& integers = KnownProducts(sizes)[0];
  const KnownProduct& rounded = KnownProducts(sizes)[1];
  SelfTestResult result;
  result.arithmetic = FindArithmetic(of_rounded, rounded, sizes.k);
  const std::string mistakes[] = {
      FindUnwritten(of_integers, sizes.m * sizes.n),
      FindUnwritten(of_rounded, sizes.m * sizes.n),
      DescribeWrong(of_integers, integers.results.at(NpuArithmetic::kF32), sizes.n),
      DescribeRounding(of_rounded, rounded, sizes.k, expected, result.arithmetic)};
  for (const std::string& mistake : mistakes) {
    if (result.mistake.empty()) result.mistake = mistake;
  }
  return result;
}

SelfTestResult RunSelfTest(Driver& driver, const SelfTest& test) {
  const auto start = std::chrono::steady_clock::now();
  const NpuPlan& plan = test.plan;
  const int64_t* grid = plan.runs.at(0).grid;
  const ImageSizes sizes{grid[1] * plan.block_m, plan.padded_k, grid[2] * plan.block_n,
                         plan.b_column_major};
  const size_t c_size = sizes.m * sizes.n;
  std::vector<Run> runs;
  std::vector<Invocation> invocations;
  for (const KnownProduct& product : KnownProducts(sizes)) {
    runs.push_back(Load(driver, product, c_size));
    invocations.push_back(
        {test.words.data(), test.words.size(), runs.back().arguments});
  }
  driver.Wait(driver.Start(invocations));
  for (const Run& run : runs) run.arguments[2]->SyncFromDevice(c_size * sizeof(float));
  SelfTestResult result = JudgeSelfTest(sizes, test.expected, runs[0].c(), runs[1].c());
  const std::chrono::duration<double, std::milli> taken =
      std::chrono::steady_clock::now() - start;
  result.milliseconds = taken.count();
  return result;
}

}  // namespace jax_npu
