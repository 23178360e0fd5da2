// One line of a configuration, as words that are taken in order.

#ifndef JAX_NPU_AIE_SIM_PROGRAM_LINE_H_
#define JAX_NPU_AIE_SIM_PROGRAM_LINE_H_

#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "aie/sim/program/configuration.h"

namespace jax_npu::sim {

// Every error is a std::invalid_argument with the line's number and text.
class Line {
 public:
  Line(const std::string& text, size_t number);

  bool is_empty() const { return words_.empty(); }
  bool is_at_end() const { return next_ == words_.size(); }

  std::string Word();

  template <typename Number = int>
  Number Take() {
    const std::string word = Word();
    std::istringstream stream(word);
    Number number;
    if (!(stream >> number) || !stream.eof()) Fail("has '" + word + "' for a number");
    return number;
  }

  int Index(size_t size);  // -1, or an index below `size`
  int Item(size_t size);   // an index below `size`
  TileAt Tile();
  std::vector<uint8_t> Bytes();  // a word of hexadecimal digits

  // Fails if words are left.
  void End() const;

  [[noreturn]] void Fail(const std::string& what) const;

 private:
  std::string text_;
  size_t number_;
  std::vector<std::string> words_;
  size_t next_ = 0;
};

// The lines of a text, counted from 1.
class Lines {
 public:
  explicit Lines(const std::string& text) : text_(text) {}

  bool IsAtEnd() { return text_.peek() == std::istringstream::traits_type::eof(); }
  // Throws std::invalid_argument at the end.
  Line Next();

 private:
  std::istringstream text_;
  size_t number_ = 0;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_PROGRAM_LINE_H_
