// The order in which a BD walks over memory, in words of 4 bytes.
//
// For dimensions (size, stride), outermost first, with pads b before and a after each,
// the walk visits i_0 in [0, b_0 + size_0 + a_0), inside it i_1, and so on. The word is
// base + sum_d (i_d - b_d) stride_d, or a pad where some i_d - b_d is not in [0,
// size_d).

#ifndef JAX_NPU_AIE_SIM_PROGRAM_PATTERN_H_
#define JAX_NPU_AIE_SIM_PROGRAM_PATTERN_H_

#include <cstdint>
#include <vector>

#include "aie/sim/program/configuration.h"

namespace jax_npu::sim {

// A position within the walk. Pads count as words, but no memory is read for them.
class Pattern {
 public:
  Pattern() = default;
  // Without dimensions, `length` words in a row. `base` is the first word that is no
  // pad.
  Pattern(int64_t base, int64_t length, const std::vector<Dimension>& dimensions);

  int64_t length() const { return length_; }
  // The lowest word, and the one behind the highest. An empty pattern has base as both.
  int64_t begin() const { return begin_; }
  int64_t end() const { return end_; }
  // Whether every word from begin to end is visited.
  bool is_dense() const { return is_dense_; }
  bool has_pads() const { return padded_; }
  // The longest run of words that lie in a row.
  int64_t run() const { return run_; }
  // The largest power of two, up to 2^20, at multiples of which all runs begin.
  int64_t alignment() const { return alignment_; }

  // Calls visit(word, n) for each run of n words in a row among the next `count` words,
  // in order. For pads, `word` is -1.
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

  int64_t base_ = 0, length_ = 0, begin_ = 0, end_ = 0, run_ = 0, alignment_ = 1;
  bool is_dense_ = true, padded_ = false;
  // The innermost level: its index, its size with pads, and where its elements begin
  // and end. `row_` is the word of its index 0.
  int64_t inner_ = 0, inner_size_ = 0, inner_before_ = 0, run_end_ = 0, row_ = 0;
  std::vector<Level> outer_;  // the others, from the inside out; sizes count pads
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_PROGRAM_PATTERN_H_
