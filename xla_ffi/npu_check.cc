#include "npu_check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

#include "random_bits.h"

namespace jax_npu {
namespace {
#include "bf16.inc"

constexpr uint32_t kSentinel = 0xFFA5C3E1u;
constexpr int64_t kNumLanes = 16;
constexpr int64_t kChunk = 1024;     // columns of B decoded at a time
constexpr double kSuspicion = 4;     // root mean squares
constexpr size_t kMaxSuspects = 16;  // rows
constexpr int64_t kSpotRows = 4;     // judged where columns are left out
// Sums below this stay finite in f32 whatever their order.
constexpr double kMaxMass = 1e37;
// Columns of B with larger values, or with NaN and infinity, are left out of the signed
// sums: one of them would drown all others.
constexpr float kMaxValue = 1e18f;
constexpr double kSmallestNormal = 1.1754943508222875e-38;  // smaller ones are flushed

// bfp16 has 8-bit signed mantissas, so each factor is off by 2^-7 of the largest of its
// block at most.
constexpr double kBfp16Element = 0x1p-6, kBfp16Product = 0x1p-7;
// A sum of k products in f32 is off by this for each of them, typically: partial sums
// are as large as the sum, and every addition rounds by a part of 2^-24 of that.
constexpr double kSumError = 0x1p-25;

std::vector<float> RandomSigns(int64_t size, uint64_t seed) {
  std::vector<float> signs(size);
  uint64_t bits = 0;
  for (int64_t i = 0; i < size; ++i) {
    if (i % 64 == 0) bits = NextRandom(seed);
    signs[i] = bits >> i % 64 & 1 ? 1.0f : -1.0f;
  }
  return signs;
}

// Sums term(i), i < size, in lanes that the compiler makes vectors of; a chunk is short
// enough for partial sums in f32.
template <typename Term>
double Sum(int64_t size, const Term& term) {
  double sum = 0;
  for (int64_t begin = 0; begin < size; begin += kChunk) {
    const int64_t end = std::min(begin + kChunk, size);
    decltype(term(begin)) lanes[kNumLanes] = {};
    int64_t i = begin;
    for (; i + kNumLanes <= end; i += kNumLanes) {
      for (int64_t lane = 0; lane < kNumLanes; ++lane) lanes[lane] += term(i + lane);
    }
    for (; i < end; ++i) lanes[0] += term(i);
    for (const auto lane : lanes) sum += lane;
  }
  return sum;
}

// What counts for rounding in rows (count, n) of decoded values: each magnitude, or for
// all the largest of their column.
void WeighRows(const float* values, int64_t count, int64_t n, bool by_block,
               float* weights) {
  for (int64_t i = 0; i < count * n; ++i) weights[i] = std::abs(values[i]);
  if (!by_block) return;
  for (int64_t i = 1; i < count; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      weights[j] = std::max(weights[j], weights[i * n + j]);
    }
  }
  for (int64_t i = 1; i < count; ++i) std::copy_n(weights, n, weights + i * n);
}

// Part of a row of B: columns [first, first + size) of row k.
struct RowPart {
  int64_t k, first, size;
  const float *values, *weights;
};

// Calls visit(RowPart) for all of a batch entry's B, neighbours along k together.
template <typename Visit>
void ForRowsOfB(const GemmImages& images, int64_t entry, const CheckRule& rule,
                const Visit& visit) {
  const int64_t num_k = images.k, num_n = images.n;
  const uint16_t* b = images.b + entry * num_k * num_n;
  uint16_t block[kBfp16Block * kChunk];
  float values[kBfp16Block * kChunk], weights[kBfp16Block * kChunk];
  for (int64_t first = 0; first < num_n; first += kChunk) {
    const int64_t size = std::min(kChunk, num_n - first);
    for (int64_t k = 0; k < num_k; k += kBfp16Block) {
      const int64_t count = std::min(kBfp16Block, num_k - k);
      for (int64_t i = 0; i < count; ++i) {
        for (int64_t j = 0; j < size; ++j) {
          block[i * size + j] = images.b_column_major ? b[(first + j) * num_k + k + i]
                                                      : b[(k + i) * num_n + first + j];
        }
      }
      DecodeRows(rule.arithmetic, block, count, size, values);
      WeighRows(values, count, size, rule.weighs_by_block, weights);
      for (int64_t i = 0; i < count; ++i) {
        visit(RowPart{k + i, first, size, values + i * size, weights + i * size});
      }
    }
  }
}

// A row of A, decoded: k values and what counts of them for rounding.
struct RowOfA {
  std::vector<float> values, weights;
};

RowOfA DecodeRowOfA(const GemmImages& images, int64_t entry, int64_t row,
                    const CheckRule& rule) {
  const uint16_t* a = images.a + (entry * images.m + row) * images.k;
  RowOfA decoded{std::vector<float>(images.k), std::vector<float>(images.k)};
  for (int64_t k = 0; k < images.k; k += kBfp16Block) {
    const int64_t count = std::min(kBfp16Block, images.k - k);
    float* values = decoded.values.data() + k;
    DecodeRows(rule.arithmetic, a + k, count, 1, values);
    WeighRows(values, count, 1, rule.weighs_by_block, decoded.weights.data() + k);
  }
  return decoded;
}

// For every k: the signed sum over n, and the sum and the sum of squares of weights.
struct Projection {
  explicit Projection(int64_t k) : sums(k), masses(k), squares(k) {}
  std::vector<double> sums, masses, squares;
};

Projection Project(const GemmImages& images, int64_t entry, const CheckRule& rule,
                   const float* signs) {
  Projection of_b(images.k);
  ForRowsOfB(images, entry, rule, [&](const RowPart& row) {
    const auto [k, first, size, values, weights] = row;
    const float* r = signs + first;
    of_b.sums[k] += Sum(size, [&](int64_t j) { return r[j] ? values[j] * r[j] : 0; });
    of_b.masses[k] += Sum(size, [&](int64_t j) { return r[j] ? weights[j] : 0; });
    // Squares leave f32's range.
    of_b.squares[k] += Sum(
        size, [&](int64_t j) { return r[j] ? double{weights[j]} * weights[j] : 0; });
  });
  return of_b;
}

// Random signs, and 0 for columns of B that are left out.
std::vector<float> SignsFor(const GemmImages& images, int64_t entry,
                            const CheckRule& rule, uint64_t seed) {
  std::vector<float> signs = RandomSigns(images.n, seed);
  ForRowsOfB(images, entry, rule, [&](const RowPart& row) {
    for (int64_t j = 0; j < row.size; ++j) {
      // A comparison that NaN does not pass.
      if (!(std::abs(row.values[j]) <= kMaxValue)) signs[row.first + j] = 0;
    }
  });
  return signs;
}

// How far a row of c r is off, its accumulated mass, and the root of the sum of squares
// of its products.
struct RowError {
  double error, mass, norm;
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
  // NaN and infinity in the operands: nothing to compare with.
  if (!std::isfinite(expected)) return {0, kMaxMass, 0};
  const double actual =
      Sum(n, [&](int64_t j) { return signs[j] ? c_row[j] * signs[j] : 0; });
  return {std::abs(actual - expected), mass, std::sqrt(square)};
}

// Rounding that goes one way, as with constant operands, makes a row suspicious too.
// Its elements decide, by the most that rounding can do.
std::string FindWrongElement(const GemmImages& images, int64_t entry, int64_t row,
                             const CheckRule& rule) {
  const RowOfA a = DecodeRowOfA(images, entry, row, rule);
  double a_mass = 0;
  for (const float weight : a.weights) a_mass += weight;
  std::vector<double> expected(images.n), mass(images.n), b_mass(images.n);
  ForRowsOfB(images, entry, rule, [&](const RowPart& b) {
    const double value = a.values[b.k], weight = a.weights[b.k];
    for (int64_t j = 0; j < b.size; ++j) {
      expected[b.first + j] += value * b.values[j];
      mass[b.first + j] += weight * b.weights[j];
      b_mass[b.first + j] += b.weights[j];
    }
  });
  const float* c = images.c + (entry * images.m + row) * images.n;
  for (int64_t j = 0; j < images.n; ++j) {
    // NaN and infinity in the operands, or a sum that may overflow.
    if (!(mass[j] < kMaxMass)) continue;
    // A core may take denormal operands and products for 0.
    const double flushed = kSmallestNormal * (images.k + a_mass + b_mass[j]);
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

// The rows whose sums are off most, over what is not suspicious.
std::vector<int64_t> FindSuspects(const GemmImages& images, int64_t entry,
                                  const CheckRule& rule, uint64_t seed) {
  const std::vector<float> signs = SignsFor(images, entry, rule, seed);
  const Projection of_b = Project(images, entry, rule, signs.data());
  double b_mass = 0;
  for (const double mass : of_b.masses) b_mass += mass;
  std::vector<std::pair<double, int64_t>> suspects;
  for (int64_t i = 0; i < images.m; ++i) {
    const RowOfA a = DecodeRowOfA(images, entry, i, rule);
    const RowError row = ErrorOfRow(a, images.c + (entry * images.m + i) * images.n,
                                    images.n, of_b, signs.data());
    if (!(row.mass < kMaxMass)) continue;
    double a_mass = 0;
    for (const float weight : a.weights) a_mass += weight;
    const double flushed =
        kSmallestNormal * (images.k * images.n + images.n * a_mass + b_mass);
    const double bound = kSuspicion * rule.product * row.norm + flushed;
    if (row.error <= bound) continue;
    suspects.emplace_back(std::isnan(row.error) ? INFINITY : row.error / bound, i);
  }
  std::sort(suspects.rbegin(), suspects.rend());
  std::vector<int64_t> rows;
  for (size_t i = 0; i < std::min(suspects.size(), kMaxSuspects); ++i) {
    rows.push_back(suspects[i].second);
  }
  if (std::count(signs.begin(), signs.end(), 0.0f) > 0) {
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

void FillSentinel(float* c, int64_t size) {
  std::fill(c, c + size, FromBits(kSentinel));
}

std::string FindUnwritten(const float* c, int64_t size) {
  int64_t count = 0;
  for (int64_t i = 0; i < size; ++i) count += Bits(c[i]) == kSentinel;
  if (count == 0) return "";
  return std::to_string(count) + " of " + std::to_string(size) +
         " elements were never written";
}

std::string FindMistake(const GemmImages& images, const CheckRule& rule,
                        uint64_t seed) {
  const int64_t size = images.batch * images.m * images.n;
  std::string mistake = FindUnwritten(images.c, size);
  if (!mistake.empty()) return mistake;
  for (int64_t entry = 0; entry < images.batch; ++entry) {
    for (int64_t row : FindSuspects(images, entry, rule, seed + entry)) {
      mistake = FindWrongElement(images, entry, row, rule);
      if (!mistake.empty()) return mistake;
    }
  }
  return "";
}

}  // namespace jax_npu
