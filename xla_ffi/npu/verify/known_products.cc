#include "xla_ffi/npu/verify/known_products.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <tuple>

#include "xla_ffi/base/random_bits.h"

namespace jax_npu {
namespace {
#include "xla_ffi/base/bf16.inc"

// Integers from 1 to this are exact in bfp16 too, and so are their sums in f32 over the
// few k of a self-test.
constexpr uint64_t kLargestInteger = 7;

using Images = std::vector<uint16_t>;
using Matrix = std::vector<double>;

// The image of rows (k, free).
Images ImageOf(const Images& rows, int64_t num_k, int64_t num_free,
               const ImageLayout& layout) {
  Images image(rows.size());
  for (int64_t k = 0; k < num_k; ++k) {
    for (int64_t free = 0; free < num_free; ++free) {
      image[PlaceOf(layout, num_free, num_k, free, k)] = rows[k * num_free + free];
    }
  }
  return image;
}

// Rows (k, n), decoded in blocks along k.
std::vector<float> Decoded(const Images& rows, int64_t k, int64_t n,
                           NpuArithmetic arithmetic) {
  std::vector<float> values(rows.size());
  for (int64_t first = 0; first < k; first += kBfp16Block) {
    const int64_t count = std::min(kBfp16Block, k - first);
    DecodeRows(arithmetic, rows.data() + first * n, n, count, n,
               values.data() + first * n);
  }
  return values;
}

// C (m, n) = A B, summed in double, from A as columns (k, m) and B as rows (k, n).
Matrix Multiply(const ImageSizes& sizes, const Images& a_columns, const Images& b_rows,
                NpuArithmetic arithmetic) {
  const int64_t m = sizes.m, k = sizes.k, n = sizes.n;
  const auto a = Decoded(a_columns, k, m, arithmetic);
  const auto b = Decoded(b_rows, k, n, arithmetic);
  Matrix c(m * n);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t l = 0; l < k; ++l) {
      const double x = a[l * m + i];
      for (int64_t j = 0; j < n; ++j) c[i * n + j] += x * b[l * n + j];
    }
  }
  return c;
}

// The product of random operands, in each of the arithmetics.
template <typename RandomBf16, typename Arithmetics>
KnownProduct MakeProduct(const ImageSizes& sizes, const RandomBf16& next,
                         const Arithmetics& arithmetics) {
  Images a_columns(sizes.k * sizes.m), b_rows(sizes.k * sizes.n);
  for (uint16_t& x : a_columns) x = next();
  for (uint16_t& x : b_rows) x = next();
  KnownProduct product;
  for (const NpuArithmetic arithmetic : arithmetics) {
    product.results[arithmetic] = Multiply(sizes, a_columns, b_rows, arithmetic);
  }
  product.a = ImageOf(a_columns, sizes.k, sizes.m, sizes.a);
  product.b = ImageOf(b_rows, sizes.k, sizes.n, sizes.b);
  return product;
}

uint16_t ToBf16(double value) {
  return Bits(static_cast<float>(value)) >> 16;  // exact: it is a bf16 already
}

// Returns {integers, rounded}, see KnownProducts.
std::vector<KnownProduct> MakeProducts(const ImageSizes& sizes) {
  uint64_t state = 1;
  const auto integer = [&] { return ToBf16(1 + NextRandom(state) % kLargestInteger); };
  // Values 128 to 255, which take eight bits, times 2^0 to 2^15. The columns of both
  // matrices (k, m) and (k, n) alternate in sign: they are A's rows and B's columns, so
  // all terms of an element have one sign and nothing cancels.
  int64_t index = 0;
  const auto precise = [&] {
    const uint64_t random = NextRandom(state);
    const int sign = IsNegative(index++) ? -1 : 1;
    return ToBf16(sign * std::ldexp(128 + random % 128, random >> 32 & 15));
  };
  const NpuArithmetic exact[] = {NpuArithmetic::kF32};
  return {MakeProduct(sizes, integer, exact),
          MakeProduct(sizes, precise, kKnownArithmetics)};
}

}  // namespace

bool operator<(const ImageSizes& a, const ImageSizes& b) {
  const auto fields = [](const ImageSizes& sizes) {
    return std::tie(sizes.m, sizes.k, sizes.n, sizes.a.k_is_rows, sizes.a.is_tiled,
                    sizes.b.k_is_rows, sizes.b.is_tiled);
  };
  return fields(a) < fields(b);
}

bool IsNegative(int64_t row_or_column) { return row_or_column % 2 != 0; }

const std::vector<KnownProduct>& KnownProducts(const ImageSizes& sizes) {
  static std::mutex mutex;
  static auto& made = *new std::map<ImageSizes, std::vector<KnownProduct>>;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto [found, is_new] = made.try_emplace(sizes);
  if (is_new) found->second = MakeProducts(sizes);
  return found->second;
}

}  // namespace jax_npu
