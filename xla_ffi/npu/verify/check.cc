#include "xla_ffi/npu/verify/check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

#include "xla_ffi/base/random_bits.h"
#include "xla_ffi/npu/verify/decoded_rows.h"
#include "xla_ffi/npu/verify/sentinel.h"

namespace jax_npu {
namespace {
#include "xla_ffi/base/bf16.inc"

constexpr int64_t kNumLanes = 16;
constexpr double kSuspicion = 4;     // in units of the expected random walk
constexpr size_t kMaxSuspects = 16;  // rows whose elements are judged
constexpr int64_t kSpotRows = 4;     // more rows to judge if columns are left out
constexpr int64_t kStripRows = 64;   // that a thread compares at a time
// Sums below this stay finite in f32 whatever their order.
constexpr double kMaxMass = 1e37;
// Columns of B with larger values, or with NaN or infinity, are left out of the signed
// sums: one such column would hide errors in all others.
constexpr float kMaxValue = 1e18f;
// 2^-126. Cores may flush smaller values to 0.
constexpr double kSmallestNormal = 1.1754943508222875e-38;

// bfp16 has 8-bit signed mantissas, so each factor is off by at most 2^-7 of the
// largest value of its block: a product by at most 2 * 2^-7, and typically by half of
// that.
constexpr double kBfp16Element = 0x1p-6, kBfp16Product = 0x1p-7;
// The typical error of a sum in f32, for each product in it: every addition rounds by
// some part of 2^-24 of the partial sum.
constexpr double kSumError = 0x1p-25;

// Partial sums of a chunk in f32, in lanes that the compiler turns into vectors.
struct Lanes {
  float values[kNumLanes] = {};

  double Sum() const {
    double sum = 0;
    for (const float lane : values) sum += lane;
    return sum;
  }
};

// Sums over the columns j of a row of B.
struct RowSums {
  double signed_sum;  // sum of b_j r_j
  double mass;    // sum of w_j, where the weight w_j is |b_j| or its block's largest
  double square;  // sum of w_j^2
};

// Sums at most kChunk values, none above kMaxValue: f32 holds sums of their squares.
RowSums SumChunk(const float* values, const float* weights, const float* signs,
                 int64_t size) {
  Lanes signed_sums, masses, squares;
  const auto add = [&](int64_t lane, int64_t j) {
    signed_sums.values[lane] += values[j] * signs[j];
    masses.values[lane] += weights[j];
    squares.values[lane] += weights[j] * weights[j];
  };
  int64_t j = 0;
  for (; j + kNumLanes <= size; j += kNumLanes) {
    for (int64_t lane = 0; lane < kNumLanes; ++lane) add(lane, j + lane);
  }
  for (; j < size; ++j) add(0, j);
  return {signed_sums.Sum(), masses.Sum(), squares.Sum()};
}

// One row of c r. Columns that are left out have a sign of 0, and may hold NaN.
double SignedSum(const float* c, const float* signs, int64_t size) {
  double sum = 0;
  for (int64_t begin = 0; begin < size; begin += kChunk) {
    const int64_t end = std::min(begin + kChunk, size);
    Lanes lanes;
    const auto term = [&](int64_t j) { return signs[j] == 0 ? 0 : c[j] * signs[j]; };
    int64_t j = begin;
    for (; j + kNumLanes <= end; j += kNumLanes) {
      for (int64_t lane = 0; lane < kNumLanes; ++lane) {
        lanes.values[lane] += term(j + lane);
      }
    }
    for (; j < end; ++j) lanes.values[0] += term(j);
    sum += lanes.Sum();
  }
  return sum;
}

// The vector r: a random sign for each column of B, and 0 for those that are left out.
struct Signs {
  std::vector<float> values;      // (n,)
  std::vector<int64_t> left_out;  // columns
};

// The largest magnitude in each column of B, as bits of bf16, whose order is that of
// the values. NaN's bits are above infinity's.
std::vector<uint16_t> LargestInColumns(const GemmImages& images, int64_t entry) {
  std::vector<uint16_t> largest(images.n);
  ForBlocksOfB(images, entry, [&](Range k, Range columns, Rows rows) {
    uint16_t* of_column = largest.data() + columns.first;
    for (int64_t i = 0; i < k.size; ++i) {
      const uint16_t* row = rows.data + i * rows.stride;
      for (int64_t j = 0; j < columns.size; ++j) {
        const uint16_t magnitude = row[j] & 0x7FFF;
        of_column[j] = std::max(of_column[j], magnitude);
      }
    }
  });
  return largest;
}

Signs RandomSigns(const GemmImages& images, int64_t entry, uint64_t seed) {
  const std::vector<uint16_t> largest = LargestInColumns(images, entry);
  Signs signs{std::vector<float>(images.n), {}};
  uint64_t bits = 0;
  for (int64_t j = 0; j < images.n; ++j) {
    if (j % 64 == 0) bits = NextRandom(seed);
    signs.values[j] = bits >> j % 64 & 1 ? 1.0f : -1.0f;
    if (largest[j] <= Bits(kMaxValue) >> 16) continue;
    signs.values[j] = 0;
    signs.left_out.push_back(j);
  }
  return signs;
}

// RowSums of every row k of B: b r, and the sums of weights and of their squares.
struct Projection {
  explicit Projection(int64_t k) : sums(k), masses(k), squares(k) {}
  std::vector<double> sums, masses, squares;  // (k,)
};

Projection Project(const GemmImages& images, int64_t entry, const CheckRule& rule,
                   const Signs& signs) {
  Projection of_b(images.k);
  ForRowsOfB(images, entry, rule, [&](const RowPart& row) {
    for (const int64_t column : signs.left_out) {
      const int64_t j = column - row.first;
      if (j >= 0 && j < row.size) row.values[j] = row.weights[j] = 0;
    }
    const float* r = signs.values.data() + row.first;
    const RowSums sums = SumChunk(row.values, row.weights, r, row.size);
    of_b.sums[row.k] += sums.signed_sum;
    of_b.masses[row.k] += sums.mass;
    of_b.squares[row.k] += sums.square;
  });
  return of_b;
}

// How far one row of c r is from a (b r).
struct RowError {
  double error;  // |c r - a (b r)|
  double mass;   // sum over k and n of |a| |b|
  double norm;   // root of the sum over k and n of (|a| |b|)^2
};

RowError ErrorOfRow(const RowOfA& a, const float* c_row, int64_t n,
                    const Projection& of_b, const float* signs) {
  double expected = 0, mass = 0, square = 0;
  for (size_t k = 0; k < a.values.size(); ++k) {
    const double weight = a.weights[k];
    expected += a.values[k] * of_b.sums[k];
    mass += weight * of_b.masses[k];
    square += weight * weight * of_b.squares[k];
  }
  // With NaN or infinity in the operands there is nothing to compare with: this mass
  // excludes the row.
  if (!std::isfinite(expected)) return {0, kMaxMass, 0};
  return {std::abs(SignedSum(c_row, signs, n) - expected), mass, std::sqrt(square)};
}

// Describes the first wrong element of a suspicious row, or returns "". Rounding in one
// direction, as with constant operands, makes a row suspicious too; so each element is
// judged by the largest error that rounding can make:
//   |c - sum a b| <= (rule.element + MaxSumError(k)) sum |a| |b| + flushed
std::string FindWrongElement(const GemmImages& images, int64_t entry, int64_t row,
                             const CheckRule& rule) {
  const RowOfA a = DecodedRowsOfA(images, entry, rule).Row(row);
  std::vector<double> expected(images.n), mass(images.n), b_mass(images.n);
  ForRowsOfB(images, entry, rule, [&](const RowPart& b) {
    const double value = a.values[b.k], weight = a.weights[b.k];
    for (int64_t j = 0; j < b.size; ++j) {
      expected[b.first + j] += value * b.values[j];
      mass[b.first + j] += weight * b.weights[j];
      b_mass[b.first + j] += b.weights[j];
    }
  });
  const float* c = images.RowOfC(entry, row);
  for (int64_t j = 0; j < images.n; ++j) {
    // The operands hold NaN or infinity, or the sum may overflow.
    if (!(mass[j] < kMaxMass)) continue;
    // A core may flush each denormal product, a and b to 0.
    const double flushed = kSmallestNormal * (images.k + a.mass + b_mass[j]);
    const double bound = (rule.element + MaxSumError(images.k)) * mass[j] + flushed;
    if (std::abs(c[j] - expected[j]) <= bound) continue;
    char text[160];
    std::snprintf(text, sizeof text,
                  "element (%lld, %lld) is %.6g, not %.6g; rounding explains %.3g",
                  static_cast<long long>(row), static_cast<long long>(j), c[j],
                  expected[j], bound);
    return text;
  }
  return "";
}

// Rows whose sums are off, each with how far relative to the bound that makes a row
// suspicious.
using Suspects = std::vector<std::pair<double, int64_t>>;

Suspects SuspectsAmong(Range rows, const GemmImages& images, int64_t entry,
                       const CheckRule& rule, const Signs& signs,
                       const Projection& of_b) {
  double b_mass = 0;
  for (const double mass : of_b.masses) b_mass += mass;
  DecodedRowsOfA rows_of_a(images, entry, rule);
  Suspects suspects;
  for (int64_t i = rows.first; i < rows.first + rows.size; ++i) {
    const RowOfA a = rows_of_a.Row(i);
    const RowError row =
        ErrorOfRow(a, images.RowOfC(entry, i), images.n, of_b, signs.values.data());
    if (!(row.mass < kMaxMass)) continue;
    const double flushed =
        kSmallestNormal * (images.k * images.n + images.n * a.mass + b_mass);
    const double bound = kSuspicion * rule.product * row.norm + flushed;
    if (row.error <= bound) continue;
    suspects.emplace_back(std::isnan(row.error) ? INFINITY : row.error / bound, i);
  }
  return suspects;
}

// The rows to judge: those that are off most, and a few random ones if columns of B are
// left out.
std::vector<int64_t> FindSuspects(const GemmImages& images, int64_t entry,
                                  const CheckRule& rule, uint64_t seed,
                                  const ParallelLoop& parallel) {
  const Signs signs = RandomSigns(images, entry, seed);
  const Projection of_b = Project(images, entry, rule, signs);
  std::vector<Suspects> by_strip((images.m + kStripRows - 1) / kStripRows);
  parallel(static_cast<int64_t>(by_strip.size()), [&](int64_t strip) {
    const int64_t first = strip * kStripRows;
    const Range rows = {first, std::min(kStripRows, images.m - first)};
    by_strip[strip] = SuspectsAmong(rows, images, entry, rule, signs, of_b);
  });
  Suspects suspects;
  for (const Suspects& some : by_strip) {
    suspects.insert(suspects.end(), some.begin(), some.end());
  }
  std::sort(suspects.rbegin(), suspects.rend());
  std::vector<int64_t> rows;
  for (size_t i = 0; i < std::min(suspects.size(), kMaxSuspects); ++i) {
    rows.push_back(suspects[i].second);
  }
  if (!signs.left_out.empty()) {
    for (int64_t i = 0; i < kSpotRows; ++i) {
      rows.push_back(NextRandom(seed) % images.m);
    }
  }
  return rows;
}

}  // namespace

CheckRule RuleFor(NpuArithmetic expected, bool is_confirmed, int64_t padded_k) {
  const double sums = kSumError * padded_k;
  if (expected == NpuArithmetic::kBfp16 && !is_confirmed) {
    return {NpuArithmetic::kF32, kBfp16Element, kBfp16Product + sums, true};
  }
  return {expected, 0, sums, false};
}

std::string FindMistake(const GemmImages& images, const CheckRule& rule, uint64_t seed,
                        const ParallelLoop& parallel) {
  const int64_t size = images.batch * images.m * images.n;
  std::string mistake = FindUnwritten(images.c, size, parallel);
  if (!mistake.empty()) return mistake;
  for (int64_t entry = 0; entry < images.batch; ++entry) {
    for (int64_t row : FindSuspects(images, entry, rule, seed + entry, parallel)) {
      mistake = FindWrongElement(images, entry, row, rule);
      if (!mistake.empty()) return mistake;
    }
  }
  return "";
}

}  // namespace jax_npu
