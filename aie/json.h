// The writer of all JSON text in C++: it sets commas and quotes, the caller nests the
// values.
//
// Every element of an array begins on a line of its own, so that a long trace can be
// read by lines.

#ifndef JAX_NPU_AIE_JSON_H_
#define JAX_NPU_AIE_JSON_H_

#include <charconv>
#include <string>
#include <string_view>
#include <type_traits>

namespace jax_npu {

class JsonWriter {
 public:
  void BeginObject() { Open('{'); }
  void EndObject() { Close("}"); }
  void BeginArray() { Open('['); }
  void EndArray() { Close("\n]"); }

  // The name of the object's next member, whose value must follow.
  void Key(std::string_view name) {
    Separate();
    Quote(name);
    text_ += ':';
    is_first_ = true;
  }

  // A string or a number.
  template <typename T>
  void Value(const T& value) {
    Separate();
    if constexpr (std::is_arithmetic_v<T>) {
      Number(value);
    } else {
      Quote(value);
    }
  }

  template <typename T>
  void Member(std::string_view name, const T& value) {
    Key(name);
    Value(value);
  }

  // An object of numbers, from pairs of a name and a number.
  template <typename Numbers>
  void NumbersMember(std::string_view name, const Numbers& numbers) {
    Key(name);
    BeginObject();
    for (const auto& [key, number] : numbers) Member(key, number);
    EndObject();
  }

  const std::string& Text() const { return text_; }

 private:
  void Separate() {
    if (!is_first_) text_ += ',';
    is_first_ = false;
  }

  void Open(char bracket) {
    const bool is_element = !open_.empty() && open_.back() == '[';
    Separate();
    if (is_element) text_ += '\n';
    text_ += bracket;
    open_ += bracket;
    is_first_ = true;
  }

  void Close(const char* bracket) {
    text_ += bracket;
    open_.pop_back();
    is_first_ = false;
  }

  // Control characters, which JSON would have escaped, become spaces.
  void Quote(std::string_view text) {
    text_ += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') text_ += '\\';
      text_ += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
    text_ += '"';
  }

  // Whatever the locale: to_chars knows none. A double gets the digits that read back
  // as the same value.
  template <typename T>
  void Number(T value) {
    char digits[32];  // the longest double has 24
    text_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  }

  std::string text_;
  std::string open_;      // brackets
  bool is_first_ = true;  // nothing to separate the next value from
};

}  // namespace jax_npu

#endif  // JAX_NPU_AIE_JSON_H_
