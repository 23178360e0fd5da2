#include "npu_check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

namespace jax_npu {
namespace {
#include "bf16.inc"

constexpr uint32_t kSentinel = 0xFFA5C3E1u;
constexpr uint64_t kSamplePeriod = 32;
constexpr int64_t kNumLanes = 16, kMaxChunk = 4096;
// Of a sum in f32, over its mass and k, however its terms are grouped: half a unit in
// the last place for each product, and as much for each block of 8.
constexpr double kMaxRounding = 1.125 / (1 << 24);
constexpr double kSuspicion = 4;     // root mean squares
constexpr size_t kMaxSuspects = 16;  // rows
// Sums below this stay finite in f32 whatever their order.
constexpr double kMaxMass = 1e37;
constexpr double kSmallestNormal = 1.1754943508222875e-38;  // smaller ones are flushed

// splitmix64
uint64_t NextRandom(uint64_t& state) {
  uint64_t z = state += 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

std::vector<float> RandomSigns(int64_t size, uint64_t seed) {
  std::vector<float> signs(size);
  uint64_t bits = 0;
  for (int64_t i = 0; i < size; ++i) {
    if (i % 64 == 0) bits = NextRandom(seed);
    signs[i] = bits >> i % 64 & 1 ? 1.0f : -1.0f;
  }
  return signs;
}

float ToFloat(uint16_t value) { return FromBits(uint32_t{value} << 16); }
float ToFloat(float value) { return value; }

float Magnitude(uint16_t value) { return FromBits((value & 0x7FFFu) << 16); }

// Of values times signs, in lanes that the compiler makes vectors of.
template <typename T>
double SignedSum(const T* values, const float* signs, int64_t size) {
  double sum = 0;
  for (int64_t begin = 0; begin < size; begin += kMaxChunk) {
    const int64_t end = std::min(begin + kMaxChunk, size);
    float lanes[kNumLanes] = {};
    int64_t i = begin;
    for (; i + kNumLanes <= end; i += kNumLanes) {
      for (int64_t lane = 0; lane < kNumLanes; ++lane) {
        lanes[lane] += ToFloat(values[i + lane]) * signs[i + lane];
      }
    }
    for (; i < end; ++i) lanes[0] += ToFloat(values[i]) * signs[i];
    for (float lane : lanes) sum += lane;
  }
  return sum;
}

// For every k: the signed sum over n, and of the largest magnitudes of its block the
// sum and the sum of squares.
struct Projection {
  explicit Projection(int64_t k) : sums(k), masses(k), squares(k) {}
  std::vector<double> sums, masses, squares;
};

Projection ProjectRows(const uint16_t* b, int64_t k, int64_t n, const float* signs,
                       int64_t k_block) {
  Projection of_b(k);
  std::vector<float> largest(n);
  for (int64_t first = 0; first < k; first += k_block) {
    const int64_t end = std::min(first + k_block, k);
    std::fill(largest.begin(), largest.end(), 0.0f);
    for (int64_t i = first; i < end; ++i) {
      const uint16_t* row = b + i * n;
      of_b.sums[i] = SignedSum(row, signs, n);
      for (int64_t j = 0; j < n; ++j) {
        largest[j] = std::max(largest[j], Magnitude(row[j]));
      }
    }
    double mass = 0, square = 0;
    for (double x : largest) {
      mass += x;
      square += x * x;
    }
    std::fill(of_b.masses.begin() + first, of_b.masses.begin() + end, mass);
    std::fill(of_b.squares.begin() + first, of_b.squares.begin() + end, square);
  }
  return of_b;
}

Projection ProjectColumns(const uint16_t* b, int64_t k, int64_t n, const float* signs,
                          int64_t k_block) {
  Projection of_b(k);
  for (int64_t j = 0; j < n; ++j) {
    const uint16_t* column = b + j * k;
    for (int64_t first = 0; first < k; first += k_block) {
      const int64_t end = std::min(first + k_block, k);
      float largest = 0;
      for (int64_t i = first; i < end; ++i) {
        of_b.sums[i] += ToFloat(column[i]) * signs[j];
        largest = std::max(largest, Magnitude(column[i]));
      }
      for (int64_t i = first; i < end; ++i) {
        of_b.masses[i] += largest;
        of_b.squares[i] += double{largest} * largest;
      }
    }
  }
  return of_b;
}

// What a row of c r is off by, its accumulated mass, and the root of the sum of squares
// of its products.
struct RowError {
  double error, mass, norm;
};

RowError ErrorOfRow(const uint16_t* a_row, const float* c_row, int64_t k, int64_t n,
                    const Projection& of_b, const float* signs, int64_t k_block) {
  double expected = 0, mass = 0, square = 0;
  for (int64_t first = 0; first < k; first += k_block) {
    const int64_t end = std::min(first + k_block, k);
    double largest = 0;
    for (int64_t i = first; i < end; ++i) {
      const double x = ToFloat(a_row[i]);
      expected += x * of_b.sums[i];
      largest = std::max(largest, std::abs(x));
    }
    for (int64_t i = first; i < end; ++i) {
      mass += largest * of_b.masses[i];
      square += largest * largest * of_b.squares[i];
    }
  }
  // NaN and infinity in the operands: nothing to compare with.
  if (!std::isfinite(expected)) return {0, kMaxMass, 0};
  return {std::abs(SignedSum(c_row, signs, n) - expected), mass, std::sqrt(square)};
}

std::string FindUnwritten(const float* c, int64_t size) {
  int64_t count = 0;
  for (int64_t i = 0; i < size; ++i) count += Bits(c[i]) == kSentinel;
  if (count == 0) return "";
  return std::to_string(count) + " of " + std::to_string(size) +
         " elements were never written";
}

// Rounding that goes one way, as with constant operands, makes a row suspicious too.
// Its elements decide, by the most that rounding can do.
std::string FindWrongElement(const GemmImages& images, int64_t entry, int64_t row,
                             const Tolerance& tolerance) {
  const auto [all_a, all_b, c, batch, m, k, n, b_column_major] = images;
  const uint16_t* a = all_a + (entry * m + row) * k;
  for (int64_t j = 0; j < n; ++j) {
    const uint16_t* b = all_b + entry * k * n + (b_column_major ? j * k : j);
    const int64_t stride = b_column_major ? 1 : n;
    double expected = 0, mass = 0;
    for (int64_t first = 0; first < k; first += tolerance.k_block) {
      const int64_t end = std::min(first + tolerance.k_block, k);
      double largest_a = 0, largest_b = 0;
      for (int64_t i = first; i < end; ++i) {
        const double x = ToFloat(a[i]), y = ToFloat(b[i * stride]);
        expected += x * y;
        largest_a = std::max(largest_a, std::abs(x));
        largest_b = std::max(largest_b, std::abs(y));
      }
      mass += (end - first) * largest_a * largest_b;
    }
    const double actual = c[(entry * m + row) * n + j];
    const double bound =
        (tolerance.element + kMaxRounding * k) * mass + k * kSmallestNormal;
    if (std::abs(actual - expected) <= bound) continue;
    char text[160];
    std::snprintf(text, sizeof text,
                  "element (%lld, %lld) is %.6g, not %.6g; rounding explains %.3g",
                  static_cast<long long>(row), static_cast<long long>(j), actual,
                  expected, bound);
    return text;
  }
  return "";
}

// The rows whose sums are off most, over what is not suspicious.
std::vector<int64_t> FindSuspects(const GemmImages& images, int64_t entry,
                                  const Tolerance& tolerance, uint64_t seed) {
  const auto [a, b, c, batch, m, k, n, b_column_major] = images;
  const std::vector<float> signs = RandomSigns(n, seed);
  const Projection of_b = (b_column_major ? ProjectColumns : ProjectRows)(
      b + entry * k * n, k, n, signs.data(), tolerance.k_block);
  std::vector<std::pair<double, int64_t>> suspects;
  for (int64_t i = 0; i < m; ++i) {
    const RowError row = ErrorOfRow(a + (entry * m + i) * k, c + (entry * m + i) * n, k,
                                    n, of_b, signs.data(), tolerance.k_block);
    if (!(row.mass < kMaxMass)) continue;
    const double bound =
        kSuspicion * tolerance.product * row.norm + k * n * kSmallestNormal;
    if (row.error <= bound) continue;
    suspects.emplace_back(std::isnan(row.error) ? INFINITY : row.error / bound, i);
  }
  std::sort(suspects.rbegin(), suspects.rend());
  std::vector<int64_t> rows;
  for (size_t i = 0; i < std::min(suspects.size(), kMaxSuspects); ++i) {
    rows.push_back(suspects[i].second);
  }
  return rows;
}

// FNV-1a
uint64_t Hash(const uint32_t* words, size_t num_words) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (size_t i = 0; i < num_words; ++i) hash = (hash ^ words[i]) * 0x100000001B3u;
  return hash;
}

}  // namespace

CheckMode ParseCheckMode(std::string_view name) {
  if (name == "off") return CheckMode::kOff;
  if (name == "first") return CheckMode::kFirst;
  if (name == "sample") return CheckMode::kSample;
  if (name == "always") return CheckMode::kAlways;
  throw std::invalid_argument("check must be off, first, sample or always, got " +
                              std::string(name));
}

bool ShouldCheck(CheckMode mode, const uint32_t* words, size_t num_words) {
  if (mode == CheckMode::kOff || mode == CheckMode::kAlways) {
    return mode == CheckMode::kAlways;
  }
  static std::mutex mutex;
  static auto& counts = *new std::unordered_map<uint64_t, uint64_t>;
  uint64_t stream = Hash(words, num_words), count;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    count = counts[stream]++;
  }
  if (count == 0 || mode == CheckMode::kFirst) return count == 0;
  uint64_t state = stream + count;
  return NextRandom(state) % kSamplePeriod == 0;
}

void FillSentinel(float* c, int64_t size) {
  std::fill(c, c + size, FromBits(kSentinel));
}

std::string FindMistake(const GemmImages& images, const Tolerance& tolerance,
                        uint64_t seed) {
  const int64_t size = images.batch * images.m * images.n;
  std::string mistake = FindUnwritten(images.c, size);
  if (!mistake.empty()) return mistake;
  for (int64_t entry = 0; entry < images.batch; ++entry) {
    for (int64_t row : FindSuspects(images, entry, tolerance, seed + entry)) {
      mistake = FindWrongElement(images, entry, row, tolerance);
      if (!mistake.empty()) return mistake;
    }
  }
  return "";
}

}  // namespace jax_npu
