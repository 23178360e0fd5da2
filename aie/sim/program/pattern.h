// The order in which a BD walks over memory, in words of 4 bytes.

#ifndef JAX_NPU_AIE_SIM_PROGRAM_PATTERN_H_
#define JAX_NPU_AIE_SIM_PROGRAM_PATTERN_H_

#include <cstdint>
#include <vector>

#include "aie/sim/program/configuration.h"

namespace jax_npu::sim {

// A position within the walk. Pads count as words, which nothing is read for.
class Pattern {
 public:
  Pattern() = default;
  // `dimensions` outermost first; none: `length` words in a row. `base` is the word at
  // which the walk begins.
  Pattern(int64_t base, int64_t length, const std::vector<Dimension>& dimensions);

  int64_t length() const { return length_; }
  // Lowest word, and the one behind the highest. Of an empty pattern both are base.
  int64_t begin() const { return begin_; }
  int64_t end() const { return end_; }
  // Whether every word from begin to end is visited, so that the two say it all.
  bool is_dense() const { return is_dense_; }
  bool has_pads() const { return padded_; }
  // Words that lie in a row, at most.
  int64_t run() const { return run_; }

  // Calls visit(word, count) for the next `count` words in their order, split where
  // they do not lie in a row, with a word of -1 for pads.
  template <typename Visit>
  void Walk(int64_t count, Visit visit) {
    while (count > 0) {
      const bool is_pad = padded_ && InPad();
      const int64_t in_row = is_pad ? PadRun() : run_end_ - inner_;
      const int64_t step = in_row < count ? in_row : count;
      visit(is_pad ? -1 : row_ + inner_, step);
      inner_ += step;
      count -= step;
      if (inner_ == inner_size_) NextRow();
    }
  }

 private:
  struct Level {
    int64_t size, stride, before, after, index;
  };

  void NextRow();
  bool InPad() const;
  int64_t PadRun() const;

  int64_t base_ = 0, length_ = 0, begin_ = 0, end_ = 0, run_ = 0;
  bool is_dense_ = true, padded_ = false;
  // The innermost level, and the others from the inside out. Sizes count pads.
  int64_t inner_ = 0, inner_size_ = 0, inner_before_ = 0, run_end_ = 0, row_ = 0;
  std::vector<Level> outer_;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_PROGRAM_PATTERN_H_
