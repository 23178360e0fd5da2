#include "aie/sim/program/line.h"

#include <stdexcept>

namespace jax_npu::sim {

Line::Line(const std::string& text, size_t number) : text_(text), number_(number) {
  std::istringstream stream(text);
  for (std::string word; stream >> word;) words_.push_back(word);
}

std::string Line::Word() {
  if (next_ == words_.size()) Fail("ends too early");
  return words_[next_++];
}

int Line::Index(size_t size) {
  const int index = Take();
  if (index < -1 || index >= static_cast<int>(size)) {
    Fail("names item " + std::to_string(index) + " of " + std::to_string(size));
  }
  return index;
}

int Line::Item(size_t size) {
  const int index = Index(size);
  if (index < 0) Fail("names no item");
  return index;
}

TileAt Line::Tile() {
  const int column = Take();
  return {column, Take()};
}

std::vector<uint8_t> Line::Bytes() {
  const auto digit = [this](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    Fail("has bytes that are not hexadecimal");
  };
  const std::string word = Word();
  if (word.size() % 2 != 0) Fail("has half a byte");
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < word.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(digit(word[i]) << 4 | digit(word[i + 1])));
  }
  return bytes;
}

void Line::End() const {
  if (next_ != words_.size()) Fail("goes on after its end");
}

void Line::Fail(const std::string& what) const {
  throw std::invalid_argument("configuration line " + std::to_string(number_) + " " +
                              what + ": " + text_);
}

Line Lines::Next() {
  std::string line;
  if (!std::getline(text_, line)) {
    throw std::invalid_argument("the configuration ends after line " +
                                std::to_string(number_));
  }
  return Line(line, ++number_);
}

}  // namespace jax_npu::sim
