#include "aie/sim/program/configuration.h"

#include <array>
#include <sstream>
#include <stdexcept>

namespace jax_npu::sim {
namespace {

constexpr char kFirstLine[] = "jax-npu-configuration 1";

constexpr std::array<const char*, 17> kBinaryNames = {
    "add",  "sub",  "mul",  "and",  "or",   "xor",  "shl",  "shrs", "shru",
    "divs", "divu", "rems", "remu", "mins", "maxs", "minu", "maxu"};

// Words of one line, taken in order.
class Line {
 public:
  Line(const std::string& text, size_t number) : text_(text), number_(number) {
    std::istringstream stream(text);
    for (std::string word; stream >> word;) words_.push_back(word);
  }

  bool is_empty() const { return words_.empty(); }

  std::string Word() {
    if (next_ == words_.size()) Fail("ends too early");
    return words_[next_++];
  }

  template <typename Number = int>
  Number Take() {
    const std::string word = Word();
    std::istringstream stream(word);
    Number number;
    if (!(stream >> number) || !stream.eof()) Fail("has '" + word + "' for a number");
    return number;
  }

  // An index below `size`, or -1.
  int Index(size_t size) {
    const int index = Take();
    if (index < -1 || index >= static_cast<int>(size)) {
      Fail("names item " + std::to_string(index) + " of " + std::to_string(size));
    }
    return index;
  }

  // An index below `size`.
  int Item(size_t size) {
    const int index = Index(size);
    if (index < 0) Fail("names no item");
    return index;
  }

  TileAt Tile() {
    const int column = Take();
    return {column, Take()};
  }

  void End() {
    if (next_ != words_.size()) Fail("goes on after its end");
  }

  [[noreturn]] void Fail(const std::string& what) const {
    throw std::invalid_argument("configuration line " + std::to_string(number_) + " " +
                                what + ": " + text_);
  }

 private:
  std::string text_;
  size_t number_;
  std::vector<std::string> words_;
  size_t next_ = 0;
};

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text) {}

  Configuration Parse() {
    if (Next().Word() != "jax-npu-configuration") {
      throw std::invalid_argument(std::string("a configuration begins with '") +
                                  kFirstLine + "'");
    }
    while (std::getline(text_, line_)) {
      ++number_;
      Line line(line_, number_);
      if (!line.is_empty()) Item(line);
    }
    return std::move(result_);
  }

 private:
  Line Next() {
    if (!std::getline(text_, line_)) {
      throw std::invalid_argument("the configuration ends after line " +
                                  std::to_string(number_));
    }
    return Line(line_, ++number_);
  }

  void Item(Line& line) {
    const std::string kind = line.Word();
    if (kind == "device") {
      result_.device = line.Word();
    } else if (kind == "param") {
      const std::string name = line.Word();
      result_.parameters[name] = line.Take<double>();
    } else if (kind == "buffer") {
      BufferInfo buffer = {line.Tile(), line.Take<int64_t>(), line.Take<int64_t>(), {}};
      buffer.name = line.Word();
      result_.buffers.push_back(buffer);
    } else if (kind == "lock") {
      LockInfo lock = {line.Tile(), line.Take(), line.Take(), {}};
      lock.name = line.Word();
      result_.locks.push_back(lock);
    } else if (kind == "bd") {
      Bd(line);
    } else if (kind == "start") {
      Start(line);
    } else if (kind == "route") {
      Route(line);
    } else if (kind == "type") {
      TypeInfo type = {line.Word(), {}};
      for (int rank = line.Take(); rank > 0; --rank) {
        type.shape.push_back(line.Take<int64_t>());
      }
      result_.types.push_back(type);
    } else if (kind == "kernel") {
      KernelInfo kernel = {line.Word(), {}};
      for (int count = line.Take(); count > 0; --count) {
        kernel.arguments.push_back(line.Index(result_.types.size()));
      }
      result_.kernels.push_back(kernel);
    } else if (kind == "core") {
      Core(line);
    } else {
      line.Fail("is of no known kind");
    }
    line.End();
  }

  void Bd(Line& line) {
    BdInfo bd;
    bd.tile = line.Tile();
    bd.id = line.Take();
    bd.memory = line.Tile();
    bd.address = line.Take<int64_t>();
    bd.length = line.Take<int64_t>();
    bd.next = line.Take();
    bd.acquire_lock = line.Index(result_.locks.size());
    bd.acquire_value = line.Take();
    bd.release_lock = line.Index(result_.locks.size());
    bd.release_value = line.Take();
    bd.dimensions.resize(line.Take<unsigned>());
    for (Dimension& d : bd.dimensions) {
      d.size = line.Take<int64_t>();
      d.stride = line.Take<int64_t>();
    }
    const unsigned num_pads = line.Take<unsigned>();
    if (num_pads > bd.dimensions.size()) line.Fail("pads more than its dimensions");
    for (unsigned i = 0; i < num_pads; ++i) {
      Dimension& d = bd.dimensions[bd.dimensions.size() - num_pads + i];
      d.before = line.Take<int64_t>();
      d.after = line.Take<int64_t>();
    }
    result_.bds.push_back(bd);
  }

  void Start(Line& line) {
    StartInfo start;
    start.tile = line.Tile();
    start.direction = line.Take() == 0 ? kS2mm : kMm2s;
    start.channel = line.Take();
    start.bd = line.Take();
    start.repeats = line.Take();
    result_.starts.push_back(start);
  }

  void Route(Line& line) {
    RouteInfo route;
    route.from = line.Tile();
    route.from_channel = line.Take();
    route.to = line.Tile();
    route.to_channel = line.Take();
    route.hops = line.Take();
    result_.routes.push_back(route);
  }

  void Core(Line& line) {
    CoreInfo core = {line.Tile(), line.Take(), {}};
    num_slots_ = core.num_slots;
    num_instructions_ = line.Take();
    for (int i = 0; i < num_instructions_; ++i) {
      Line instruction = Next();
      core.program.push_back(Decode(instruction));
      instruction.End();
    }
    result_.cores.push_back(core);
  }

  int Slot(Line& line) { return line.Item(num_slots_); }

  static int Bits(Line& line) {
    const int bits = line.Take();
    if (bits < 1 || bits > 64) line.Fail("has numbers of 1 to 64 bits");
    return bits;
  }

  static int ElementBytes(Line& line) {
    const int bytes = line.Take();
    if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) {
      line.Fail("accesses 1, 2, 4 or 8 bytes");
    }
    return bytes;
  }

  Instruction Decode(Line& line) {
    const std::string name = line.Word();
    Instruction i;
    if (name == "const") {
      i.op = Op::kConst;
      i.result = Slot(line);
      i.value = line.Take<int64_t>();
    } else if (name == "binary") {
      i.op = Op::kBinary;
      i.binary = BinaryNamed(line);
      i.bits = Bits(line);
      i.result = Slot(line);
      i.left = Slot(line);
      i.right = Slot(line);
    } else if (name == "compare") {
      i.op = Op::kCompare;
      i.predicate = line.Item(10);
      i.bits = Bits(line);
      i.result = Slot(line);
      i.left = Slot(line);
      i.right = Slot(line);
    } else if (name == "select") {
      i.op = Op::kSelect;
      i.result = Slot(line);
      i.condition = Slot(line);
      i.left = Slot(line);
      i.right = Slot(line);
    } else if (name == "cast") {
      i.op = Op::kCast;
      i.is_signed = line.Take() != 0;
      i.from_bits = Bits(line);
      i.bits = Bits(line);
      i.result = Slot(line);
      i.left = Slot(line);
    } else if (name == "move") {
      i.op = Op::kMove;
      i.result = Slot(line);
      i.left = Slot(line);
    } else if (name == "load") {
      i.op = Op::kLoad;
      i.result = Slot(line);
      i.buffer = line.Item(result_.buffers.size());
      i.element_bytes = ElementBytes(line);
      i.is_signed = line.Take() != 0;
      Indices(line, i);
    } else if (name == "store") {
      i.op = Op::kStore;
      i.left = Slot(line);
      i.buffer = line.Item(result_.buffers.size());
      i.element_bytes = ElementBytes(line);
      Indices(line, i);
    } else if (name == "acquire" || name == "release") {
      i.op = name == "acquire" ? Op::kAcquire : Op::kRelease;
      i.lock = line.Item(result_.locks.size());
      i.value = line.Take();
    } else if (name == "call") {
      i.op = Op::kCall;
      i.kernel = line.Item(result_.kernels.size());
      for (int count = line.Take(); count > 0; --count) {
        const bool is_buffer = line.Word() == "b";
        const int index = is_buffer ? line.Item(result_.buffers.size()) : Slot(line);
        i.arguments.push_back({is_buffer, index});
      }
      if (i.arguments.size() != result_.kernels[i.kernel].arguments.size()) {
        line.Fail("passes another number of arguments than the kernel takes");
      }
    } else if (name == "jump") {
      i.op = Op::kJump;
      i.target = line.Item(num_instructions_);
    } else if (name == "branch") {
      i.op = Op::kBranch;
      i.condition = Slot(line);
      i.target = line.Item(num_instructions_);
      i.other_target = line.Item(num_instructions_);
    } else if (name == "halt") {
      i.op = Op::kHalt;
    } else {
      line.Fail("is no known instruction");
    }
    return i;
  }

  static Binary BinaryNamed(Line& line) {
    const std::string name = line.Word();
    for (size_t i = 0; i < kBinaryNames.size(); ++i) {
      if (name == kBinaryNames[i]) return static_cast<Binary>(i);
    }
    line.Fail("has no known operation");
  }

  void Indices(Line& line, Instruction& i) {
    for (int count = line.Take(); count > 0; --count) {
      const int slot = Slot(line);
      i.indices.push_back({slot, line.Take<int64_t>()});
    }
  }

  std::istringstream text_;
  std::string line_;
  size_t number_ = 0;
  int num_slots_ = 0, num_instructions_ = 0;
  Configuration result_;
};

}  // namespace

// The first number in an element's name is that of its bits.
int64_t TypeInfo::Bytes() const {
  const size_t digits = element.find_first_of("0123456789");
  int64_t bits = 0;
  for (size_t i = digits; i < element.size() && element[i] >= '0' && element[i] <= '9';
       ++i) {
    bits = 10 * bits + (element[i] - '0');
  }
  int64_t bytes = bits / 8;
  for (const int64_t size : shape) bytes *= size;
  return bytes;
}

double Configuration::Parameter(const std::string& name) const {
  const auto found = parameters.find(name);
  if (found == parameters.end()) {
    throw std::invalid_argument("the configuration lacks param " + name);
  }
  return found->second;
}

Configuration ParseConfiguration(const std::string& text) {
  return Parser(text).Parse();
}

}  // namespace jax_npu::sim
