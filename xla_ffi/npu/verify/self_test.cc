#include "xla_ffi/npu/verify/self_test.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <tuple>

#include "xla_ffi/base/dtype.h"
#include "xla_ffi/npu/verify/check.h"
#include "xla_ffi/npu/verify/known_products.h"
#include "xla_ffi/npu/verify/sentinel.h"

namespace jax_npu {
namespace {

using Matrix = std::vector<double>;

constexpr size_t kBf16Bytes = NumBytes(DType::kBF16), kF32Bytes = NumBytes(DType::kF32);

// How far an unknown rounding may be from the expected one, relative to the mass: on
// average and in an element. bfp16 rounded downwards is 7e-2 off on average.
constexpr double kMaxBias = 1e-3, kMaxDeviation = 0x1p-6;

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

// Errors relative to an element's mass, which is the magnitude of its exact result,
// because all of an element's terms have one sign.
struct Errors {
  double largest = 0;  // of all elements
  // The mean with the largest magnitude, of the four kinds of elements: by the sign of
  // their row of A and of their column of B. Positive means too large a magnitude.
  double bias = 0;
};

Errors ErrorsOf(const float* c, const Matrix& expected, const Matrix& exact,
                int64_t n) {
  Errors errors;
  double sums[2][2] = {};  // by sign of the row and of the column
  for (size_t i = 0; i < expected.size(); ++i) {
    const double error = (c[i] - expected[i]) / exact[i];
    sums[IsNegative(i / n)][IsNegative(i % n)] += error;
    errors.largest =
        std::isnan(error) ? INFINITY : std::max(errors.largest, std::abs(error));
  }
  for (const auto& row : sums) {
    for (const double sum : row) {
      const double mean = 4 * sum / expected.size();  // of a quarter of the elements
      if (std::abs(mean) > std::abs(errors.bias)) errors.bias = mean;
    }
  }
  return errors;
}

NpuArithmetic FindArithmetic(const float* c, const KnownProduct& product,
                             const ImageSizes& sizes) {
  const Matrix& exact = product.results.at(NpuArithmetic::kF32);
  for (const NpuArithmetic arithmetic : kKnownArithmetics) {
    const Errors errors = ErrorsOf(c, product.results.at(arithmetic), exact, sizes.n);
    if (errors.largest <= MaxSumError(sizes.k)) return arithmetic;
  }
  return NpuArithmetic::kOther;
}

std::string DescribeRounding(const float* c, const KnownProduct& product,
                             const ImageSizes& sizes, NpuArithmetic expected,
                             NpuArithmetic found) {
  if (found == NpuArithmetic::kF32 || found == expected) return "";
  const Matrix& exact = product.results.at(NpuArithmetic::kF32);
  const Errors errors = ErrorsOf(c, product.results.at(expected), exact, sizes.n);
  // Another way to round to bfp16 is allowed if it is close and has no bias.
  const bool rounds = expected == NpuArithmetic::kBfp16;
  const double allowed = (rounds ? kMaxDeviation : 0) + MaxSumError(sizes.k);
  if (errors.largest <= allowed && std::abs(errors.bias) <= kMaxBias) return "";
  char text[200];
  std::snprintf(
      text, sizeof text,
      "a product without cancellation is %.2g of its size off what %s makes of it on "
      "average, %.2g at most%s",
      errors.bias, NameOf(expected), errors.largest,
      found == NpuArithmetic::kBfp16Floor
          ? ": its cores round downwards (floor), not to nearest even"
          : "");
  return text;
}

// Copies the images of both products, one after the other, as entries of a batch.
size_t CopyImages(const std::vector<KnownProduct>& products,
                  std::vector<uint16_t> KnownProduct::* image, NpuBuffer& buffer) {
  size_t num_bytes = 0;
  for (const KnownProduct& product : products) {
    const std::vector<uint16_t>& values = product.*image;
    const size_t image_bytes = values.size() * kBf16Bytes;
    std::memcpy(buffer.data() + num_bytes, values.data(), image_bytes);
    num_bytes += image_bytes;
  }
  return num_bytes;
}

}  // namespace

SelfTestResult JudgeSelfTest(const ImageSizes& sizes, NpuArithmetic expected,
                             const float* of_integers, const float* of_rounded) {
  const KnownProduct& integers = KnownProducts(sizes)[0];
  const KnownProduct& rounded = KnownProducts(sizes)[1];
  SelfTestResult result;
  result.arithmetic = FindArithmetic(of_rounded, rounded, sizes);
  const std::string mistakes[] = {
      FindUnwritten(of_integers, sizes.m * sizes.n),
      FindUnwritten(of_rounded, sizes.m * sizes.n),
      DescribeWrong(of_integers, integers.results.at(NpuArithmetic::kF32), sizes.n),
      DescribeRounding(of_rounded, rounded, sizes, expected, result.arithmetic)};
  for (const std::string& mistake : mistakes) {
    if (result.mistake.empty()) result.mistake = mistake;
  }
  return result;
}

SelfTestResult RunSelfTest(Driver& driver, const SelfTest& test) {
  const auto start = std::chrono::steady_clock::now();
  const ImageSizes& sizes = test.sizes;
  const std::vector<KnownProduct>& products = KnownProducts(sizes);
  const int64_t c_size = sizes.m * sizes.n;
  const size_t num_products = products.size(),
               c_bytes = num_products * c_size * kF32Bytes;

  // A (2, m, k), B (2, k, n), C (2, m, n)
  const auto a = driver.Allocate(0, num_products * sizes.m * sizes.k * kBf16Bytes);
  const auto b = driver.Allocate(1, num_products * sizes.k * sizes.n * kBf16Bytes);
  const auto c = driver.Allocate(2, c_bytes);
  a->SyncToDevice(0, CopyImages(products, &KnownProduct::a, *a));
  b->SyncToDevice(0, CopyImages(products, &KnownProduct::b, *b));
  FillSentinel(reinterpret_cast<float*>(c->data()), num_products * c_size);
  c->SyncToDevice(0, c_bytes);
  driver.Wait(driver.Start({{test.words.data(), test.words.size(), {a, b, c}}}));
  c->SyncFromDevice(0, c_bytes);

  const auto* results = reinterpret_cast<const float*>(c->data());
  SelfTestResult result =
      JudgeSelfTest(sizes, test.expected, results, results + c_size);
  const std::chrono::duration<double, std::milli> taken =
      std::chrono::steady_clock::now() - start;
  result.milliseconds = taken.count();
  return result;
}

}  // namespace jax_npu
