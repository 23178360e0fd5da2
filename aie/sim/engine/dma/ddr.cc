#include "aie/sim/engine/dma/ddr.h"

#include <algorithm>
#include <cmath>

#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {
namespace {

constexpr double kLineBytes = 64;

// Lines that a run touches on average, where it begins at any multiple of `alignment`
// bytes, a power of two.
double TouchedLines(double run_bytes, double alignment) {
  const double step = std::min(alignment, kLineBytes);
  return 1 + (step * std::ceil(run_bytes / step) - step) / kLineBytes;
}

// Lines that it covers as a whole.
double WholeLines(double run_bytes, double alignment) {
  const double step = std::min(alignment, kLineBytes);
  return std::max(0.0, (step * std::floor(run_bytes / step) + step) / kLineBytes - 1);
}

}  // namespace

Ddr::Ddr(const Times& times, int num_columns)
    : times_(times), port_free_(2 * num_columns) {}

Cycles Ddr::Done(Cycles now, int column, int direction, const Pattern& pattern,
                 int64_t num_words) {
  // A request may begin and end within a run: it takes its share of what the run costs.
  const double run_bytes = kWordBytes * pattern.run();
  const double num_runs = kWordBytes * num_words / run_bytes;
  const double alignment = kWordBytes * pattern.alignment();
  const double lines = TouchedLines(run_bytes, alignment);
  const double partial_lines = lines - WholeLines(run_bytes, alignment);
  const auto cycles_of = [](double cycles) {
    return static_cast<Cycles>(std::ceil(cycles));
  };
  Cycles& port = port_free_[2 * column + direction];
  port = std::max(port, now) +
         cycles_of(num_runs *
                   (times_.run_cycles + partial_lines * times_.partial_line_cycles));
  const int server = times_.ddr_directions_shared ? 0 : direction;
  const Cycles moving =
      cycles_of(num_runs * lines * kLineBytes * times_.ddr_cycles_per_byte);
  last_begin_ = std::max(free_[server], now);
  last_end_ = free_[server] = last_begin_ + moving;
  busy_[server] += moving;
  return std::max(port, free_[server]);
}

void Ddr::BeginRun() { std::fill(std::begin(busy_), std::end(busy_), 0); }

void Ddr::Reset(Cycles now) {
  std::fill(std::begin(free_), std::end(free_), now);
  std::fill(port_free_.begin(), port_free_.end(), now);
}

}  // namespace jax_npu::sim
