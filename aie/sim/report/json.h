// A writer of JSON text: it sets commas and quotes, the caller nests the values.
//
// Every element of an array begins on a line of its own, so that a long trace can be
// read by lines.

#ifndef JAX_NPU_AIE_SIM_REPORT_JSON_H_
#define JAX_NPU_AIE_SIM_REPORT_JSON_H_

#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>

namespace jax_npu::sim {

class JsonWriter {
 public:
  JsonWriter() { out_.precision(15); }  // a double's decimal digits

  void BeginObject() { Open('{'); }
  void EndObject() { Close("}"); }
  void BeginArray() { Open('['); }
  void EndArray() { Close("\n]"); }

  // The name of the object's next member, whose value must follow.
  void Key(std::string_view name) {
    Separate();
    Quote(name);
    out_ << ':';
    is_first_ = true;
  }

  // A string or a number.
  template <typename T>
  void Value(const T& value) {
    Separate();
    if constexpr (std::is_arithmetic_v<T>) {
      out_ << value;
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

  std::string Text() const { return out_.str(); }

 private:
  void Separate() {
    if (!is_first_) out_ << ',';
    is_first_ = false;
  }

  void Open(char bracket) {
    const bool is_element = !open_.empty() && open_.back() == '[';
    Separate();
    if (is_element) out_ << '\n';
    out_ << bracket;
    open_ += bracket;
    is_first_ = true;
  }

  void Close(const char* bracket) {
    out_ << bracket;
    open_.pop_back();
    is_first_ = false;
  }

  // Control characters, which JSON would have escaped, become question marks.
  void Quote(std::string_view text) {
    out_ << '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') out_ << '\\';
      out_ << (static_cast<unsigned char>(c) < ' ' ? '?' : c);
    }
    out_ << '"';
  }

  std::ostringstream out_;
  std::string open_;      // brackets
  bool is_first_ = true;  // nothing to separate the next value from
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_REPORT_JSON_H_
