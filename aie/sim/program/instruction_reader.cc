#include "aie/sim/program/instruction_reader.h"

#include <array>
#include <string>

#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {
namespace {

constexpr int kNumPredicates = 10;  // of arith.cmpi

// By Binary.
constexpr std::array<const char*, 20> kBinaryNames = {
    "add",  "sub",  "mul",  "and",       "or",       "xor",     "shl",
    "shrs", "shru", "divs", "divu",      "rems",     "remu",    "mins",
    "maxs", "minu", "maxu", "floordivs", "ceildivs", "ceildivu"};

// By FloatOperation, and by FloatFormat.
constexpr std::array<const char*, 15> kFloatNames = {
    "add", "sub", "mul",  "div",   "min",       "max",  "minnum", "maxnum",
    "neg", "abs", "ceil", "floor", "roundeven", "sqrt", "trunc"};
constexpr std::array<const char*, 3> kFormatNames = {"bf16", "f32", "f64"};
constexpr int kNumFloatPredicates = 16;  // of arith.cmpf

template <typename Named, size_t kSize>
Named ItemNamed(Line& line, const std::array<const char*, kSize>& names) {
  const std::string name = line.Word();
  for (size_t i = 0; i < kSize; ++i) {
    if (name == names[i]) return static_cast<Named>(i);
  }
  line.Fail("has no known operation");
}

FloatFormat Format(Line& line) { return ItemNamed<FloatFormat>(line, kFormatNames); }

int Bits(Line& line) {
  const int bits = line.Take();
  if (bits < 1 || bits > 64) line.Fail("has numbers of 1 to 64 bits");
  return bits;
}

int ScalarBytes(Line& line) {
  const int bytes = line.Take();
  if (!IsScalarSize(bytes)) line.Fail("accesses 1, 2, 4 or 8 bytes");
  return bytes;
}

}  // namespace

// One kind of line: its first word, the operation, and how the other words are read.
struct InstructionReader::Form {
  const char* name;
  Op op;
  void (InstructionReader::*read)(Line& line, Instruction& i) const;
};

const InstructionReader::Form InstructionReader::kForms[] = {
    {"const", Op::kConst, &InstructionReader::ReadConst},
    {"binary", Op::kBinary, &InstructionReader::ReadBinary},
    {"compare", Op::kCompare, &InstructionReader::ReadCompare},
    {"select", Op::kSelect, &InstructionReader::ReadSelect},
    {"cast", Op::kCast, &InstructionReader::ReadCast},
    {"move", Op::kMove, &InstructionReader::ReadMove},
    {"load", Op::kLoad, &InstructionReader::ReadLoad},
    {"store", Op::kStore, &InstructionReader::ReadStore},
    {"load_at", Op::kLoad, &InstructionReader::ReadLoadAt},
    {"store_at", Op::kStore, &InstructionReader::ReadStoreAt},
    {"float", Op::kFloat, &InstructionReader::ReadFloat},
    {"float_compare", Op::kFloatCompare, &InstructionReader::ReadFloatCompare},
    {"float_cast", Op::kFloatCast, &InstructionReader::ReadFloatCast},
    {"float_from", Op::kFloatFrom, &InstructionReader::ReadFloatInteger},
    {"float_to", Op::kFloatTo, &InstructionReader::ReadFloatInteger},
    {"put", Op::kPut, &InstructionReader::ReadPut},
    {"get", Op::kGet, &InstructionReader::ReadGet},
    {"put_cascade", Op::kPutCascade, &InstructionReader::ReadPutCascade},
    {"get_cascade", Op::kGetCascade, &InstructionReader::ReadGetCascade},
    {"acquire", Op::kAcquire, &InstructionReader::ReadLock},
    {"release", Op::kRelease, &InstructionReader::ReadLock},
    {"call", Op::kCall, &InstructionReader::ReadCall},
    {"jump", Op::kJump, &InstructionReader::ReadJump},
    {"branch", Op::kBranch, &InstructionReader::ReadBranch},
    {"halt", Op::kHalt, &InstructionReader::ReadHalt},
};

Instruction InstructionReader::Read(Line& line) const {
  const std::string name = line.Word();
  for (const Form& form : kForms) {
    if (name != form.name) continue;
    Instruction i;
    i.op = form.op;
    (this->*form.read)(line, i);
    line.End();
    return i;
  }
  line.Fail("is not a known instruction");
}

void InstructionReader::ReadConst(Line& line, Instruction& i) const {
  i.result = Slot(line);
  i.value = line.Take<int64_t>();
}

void InstructionReader::ReadBinary(Line& line, Instruction& i) const {
  i.binary = ItemNamed<Binary>(line, kBinaryNames);
  ReadOperands(line, i);
}

void InstructionReader::ReadCompare(Line& line, Instruction& i) const {
  i.predicate = line.Item(kNumPredicates);
  ReadOperands(line, i);
}

void InstructionReader::ReadSelect(Line& line, Instruction& i) const {
  i.result = Slot(line);
  i.condition = Slot(line);
  i.left = Slot(line);
  i.right = Slot(line);
}

void InstructionReader::ReadCast(Line& line, Instruction& i) const {
  i.is_signed = line.Take() != 0;
  i.from_bits = Bits(line);
  i.bits = Bits(line);
  i.result = Slot(line);
  i.left = Slot(line);
}

void InstructionReader::ReadMove(Line& line, Instruction& i) const {
  i.result = Slot(line);
  i.left = Slot(line);
}

void InstructionReader::ReadLoad(Line& line, Instruction& i) const {
  i.result = Slot(line);
  i.buffer = line.Item(configuration_.buffers.size());
  i.element_bytes = ScalarBytes(line);
  i.is_signed = line.Take() != 0;
  ReadIndices(line, i);
}

void InstructionReader::ReadStore(Line& line, Instruction& i) const {
  i.left = Slot(line);
  i.buffer = line.Item(configuration_.buffers.size());
  i.element_bytes = ScalarBytes(line);
  ReadIndices(line, i);
}

void InstructionReader::ReadLoadAt(Line& line, Instruction& i) const {
  i.result = Slot(line);
  i.place = Slot(line);
  i.element_bytes = ScalarBytes(line);
  i.is_signed = line.Take() != 0;
  ReadIndices(line, i);
}

void InstructionReader::ReadStoreAt(Line& line, Instruction& i) const {
  i.left = Slot(line);
  i.place = Slot(line);
  i.element_bytes = ScalarBytes(line);
  ReadIndices(line, i);
}

void InstructionReader::ReadFloat(Line& line, Instruction& i) const {
  i.float_operation = ItemNamed<FloatOperation>(line, kFloatNames);
  ReadFloatOperands(line, i);
}

void InstructionReader::ReadFloatCompare(Line& line, Instruction& i) const {
  i.predicate = line.Item(kNumFloatPredicates);
  ReadFloatOperands(line, i);
}

void InstructionReader::ReadFloatOperands(Line& line, Instruction& i) const {
  i.format = Format(line);
  i.result = Slot(line);
  i.left = Slot(line);
  i.right = Slot(line);
}

void InstructionReader::ReadFloatCast(Line& line, Instruction& i) const {
  i.format = Format(line);
  i.to_format = Format(line);
  i.result = Slot(line);
  i.left = Slot(line);
}

void InstructionReader::ReadFloatInteger(Line& line, Instruction& i) const {
  i.is_signed = line.Take() != 0;
  i.bits = Bits(line);
  i.format = Format(line);
  i.result = Slot(line);
  i.left = Slot(line);
}

void InstructionReader::ReadPut(Line& line, Instruction& i) const {
  i.left = Slot(line);
}

void InstructionReader::ReadGet(Line& line, Instruction& i) const {
  i.result = Slot(line);
}

void InstructionReader::ReadPutCascade(Line& line, Instruction& i) const {
  i.element_bytes = ScalarBytes(line);
  ReadLanes(line, i);
}

void InstructionReader::ReadGetCascade(Line& line, Instruction& i) const {
  i.is_signed = line.Take() != 0;
  i.element_bytes = ScalarBytes(line);
  ReadLanes(line, i);
}

void InstructionReader::ReadLanes(Line& line, Instruction& i) const {
  const int count = line.Take();
  if (count * i.element_bytes != kCascadeBytes) line.Fail("must move 512 bits");
  for (int lane = 0; lane < count; ++lane) i.lanes.push_back(Slot(line));
}

void InstructionReader::ReadLock(Line& line, Instruction& i) const {
  i.lock = line.Item(configuration_.locks.size());
  i.value = line.Take();
}

void InstructionReader::ReadCall(Line& line, Instruction& i) const {
  i.kernel = line.Item(configuration_.kernels.size());
  for (int count = line.Take(); count > 0; --count) {
    using Argument = Instruction::Argument;
    const std::string letter = line.Word();
    const auto kind = letter == "b"   ? Argument::kBuffer
                      : letter == "p" ? Argument::kPlace
                                      : Argument::kScalar;
    const int index = kind == Argument::kBuffer
                          ? line.Item(configuration_.buffers.size())
                          : Slot(line);
    i.arguments.push_back({kind, index});
  }
  if (i.arguments.size() != configuration_.kernels[i.kernel].arguments.size()) {
    line.Fail("passes another number of arguments than the kernel takes");
  }
}

void InstructionReader::ReadJump(Line& line, Instruction& i) const {
  i.target = line.Item(num_instructions_);
}

void InstructionReader::ReadBranch(Line& line, Instruction& i) const {
  i.condition = Slot(line);
  i.target = line.Item(num_instructions_);
  i.other_target = line.Item(num_instructions_);
}

void InstructionReader::ReadHalt(Line&, Instruction&) const {}

void InstructionReader::ReadOperands(Line& line, Instruction& i) const {
  i.bits = Bits(line);
  i.result = Slot(line);
  i.left = Slot(line);
  i.right = Slot(line);
}

void InstructionReader::ReadIndices(Line& line, Instruction& i) const {
  for (int count = line.Take(); count > 0; --count) {
    const int slot = Slot(line);
    i.indices.push_back({slot, line.Take<int64_t>()});
  }
}

}  // namespace jax_npu::sim
