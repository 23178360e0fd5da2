#include "aie/sim/engine/core/core.h"

#include <cstring>
#include <stdexcept>

#include "aie/sim/engine/array.h"
#include "aie/sim/engine/core/floats.h"
#include "aie/sim/engine/core/integers.h"

namespace jax_npu::sim {
namespace {

// After that many instructions in a row of which none takes time, a program is taken to
// be in a loop that never ends.
constexpr int64_t kMaxInstructions = 1 << 22;

bool Reads(Access access) {
  return access == Access::kRead || access == Access::kReadWrite;
}

bool Writes(Access access) {
  return access == Access::kWrite || access == Access::kReadWrite;
}

}  // namespace

Core::Core(Array& in, Tile& of, const CoreInfo& program)
    : Agent(in), tile(of), info(program) {}

std::string Core::Name() const { return tile.Name(); }

void Core::Reset() {
  slots.assign(info.num_slots, 0);
  next = 0;
  num_calls_ = 0;
  pending_ = 0;
  has_waited_ = false;
  accesses_.clear();
  awaited = nullptr;
  awaited_core = nullptr;
  cascade.clear();
  ContinueIn(0);
}

void Core::ContinueIn(Cycles cycles) {
  StartWork("instructions");
  array.scheduler.In(cycles, [this] { Continue(); });
}

void Core::Granted() {
  ++next;
  ContinueIn(array.times.lock);
}

void Core::Continue() {
  for (int64_t executed = 0; next < info.program.size(); ++executed) {
    const Instruction& instruction = info.program[next];
    if (executed == kMaxInstructions) {
      array.Fail("no progress: " + Name() + " has executed " +
                 std::to_string(executed) + " instructions, the last of them number " +
                 std::to_string(next) +
                 ", without a lock, a kernel or a memory access");
    }
    if (!IsVisible(instruction.op)) {
      Compute(instruction);
      continue;
    }
    if (pending_ > 0) {
      ContinueIn(std::exchange(pending_, 0));
      return;
    }
    if (!Act(instruction)) return;
  }
  StartWait(Wait::kFinished, "finished");
}

bool Core::IsVisible(Op op) {
  switch (op) {
    case Op::kLoad:
    case Op::kStore:
    case Op::kAcquire:
    case Op::kRelease:
    case Op::kPut:
    case Op::kGet:
    case Op::kPutCascade:
    case Op::kGetCascade:
    case Op::kCall:
    case Op::kHalt:
      return true;
    default:
      return false;
  }
}

void Core::Compute(const Instruction& i) {
  const auto slot = [&](int index) { return slots[index]; };
  ++next;
  switch (i.op) {
    case Op::kConst:
      slots[i.result] = i.value;
      return;
    case Op::kMove:
      slots[i.result] = slot(i.left);
      return;
    case Op::kCast:
      slots[i.result] = Wrapped(i.is_signed ? Signed(slot(i.left), i.from_bits)
                                            : ZeroExtended(slot(i.left), i.from_bits),
                                i.bits);
      return;
    case Op::kBinary:
      if (IsDivision(i.binary) && slot(i.right) == 0) {
        array.Fail(Name() + " instruction " + std::to_string(next - 1) +
                   " divides by zero");
      }
      slots[i.result] =
          Wrapped(Apply(i.binary, i.bits, slot(i.left), slot(i.right)), i.bits);
      break;
    case Op::kCompare:
      slots[i.result] = Holds(i.predicate, i.bits, slot(i.left), slot(i.right));
      break;
    case Op::kFloat:
      slots[i.result] =
          BitsOf(i.format, Apply(i.float_operation, FloatOf(i.format, slot(i.left)),
                                 FloatOf(i.format, slot(i.right))));
      break;
    case Op::kFloatCompare:
      slots[i.result] = FloatHolds(i.predicate, FloatOf(i.format, slot(i.left)),
                                   FloatOf(i.format, slot(i.right)));
      break;
    case Op::kFloatCast:
      slots[i.result] = BitsOf(i.to_format, FloatOf(i.format, slot(i.left)));
      break;
    case Op::kFloatFrom:
      slots[i.result] = FloatFrom(i.format, i.is_signed, i.bits, slot(i.left));
      break;
    case Op::kFloatTo:
      slots[i.result] =
          IntegerFrom(i.is_signed, i.bits, FloatOf(i.format, slot(i.left)));
      break;
    case Op::kSelect:
      slots[i.result] = slot(slot(i.condition) != 0 ? i.left : i.right);
      break;
    case Op::kJump:
      next = i.target;
      break;
    case Op::kBranch:
      next = slot(i.condition) != 0 ? i.target : i.other_target;
      break;
    default:
      break;
  }
  pending_ += array.times.core_instruction;
}

bool Core::Act(const Instruction& i) {
  switch (i.op) {
    case Op::kLoad:
      Load(i);
      break;
    case Op::kStore:
      Store(i);
      break;
    case Op::kAcquire:
      if (!array.Acquire(*array.locks[i.lock], DemandOf(i.value), *this)) {
        if (!std::exchange(has_waited_, true)) first_wait = next;
        return false;
      }
      pending_ += array.times.lock;
      break;
    case Op::kRelease:
      array.Release(*array.locks[i.lock], i.value, *this);
      pending_ += array.times.lock;
      break;
    case Op::kPut:
      if (!Put(i)) return false;
      break;
    case Op::kGet:
      if (!Get(i)) return false;
      break;
    case Op::kPutCascade:
      if (!PutCascade(i)) return false;
      break;
    case Op::kGetCascade:
      if (!GetCascade(i)) return false;
      break;
    case Op::kCall:
      Call(i);
      return false;
    default:
      StartWait(Wait::kFinished, "finished");
      return false;
  }
  ++next;
  return true;
}

Core::Place Core::PlaceOf(int buffer, int place_slot) const {
  const std::vector<BufferInfo>& buffers = array.configuration.buffers;
  if (place_slot < 0) return {&buffers[buffer], 0};
  const int64_t place = slots[place_slot];
  const auto index = static_cast<uint64_t>(place) >> kPlaceOffsetBits;
  if (index >= buffers.size()) {
    array.Fail(Name() + " instruction " + std::to_string(next) +
               " accesses memory in front of all buffers");
  }
  return {&buffers[index], place & ((int64_t{1} << kPlaceOffsetBits) - 1)};
}

int64_t Core::Address(const Instruction& i, const Place& place) const {
  const BufferInfo& buffer = *place.buffer;
  int64_t offset = place.offset;
  for (const Instruction::Index& index : i.indices) {
    offset += slots[index.slot] * index.stride_bytes;
  }
  if (offset < 0 || offset + i.element_bytes > buffer.bytes) {
    array.Fail(Name() + " accesses byte " + std::to_string(offset) + " of buffer " +
               buffer.name + ", which has " + std::to_string(buffer.bytes));
  }
  return buffer.address + offset;
}

void Core::CheckRace(const Instruction& i, const BufferInfo& buffer, int64_t address,
                     bool writes) const {
  const TileMemory& memory = *array.At(buffer.tile).memory;
  if (const auto* other =
          memory.Conflict({address, address + i.element_bytes, writes, this, {}})) {
    array.Fail(Name() + (writes ? " writes byte " : " reads byte ") +
               std::to_string(address - buffer.address) + " of buffer " + buffer.name +
               " while " + other->by->Name() + (other->writes ? " writes" : " reads") +
               " it");
  }
}

void Core::Load(const Instruction& i) {
  const Place place = PlaceOf(i.buffer, i.place);
  const BufferInfo& buffer = *place.buffer;
  TileMemory& memory = *array.At(buffer.tile).memory;
  const int64_t address = Address(i, place);
  if (memory.FirstUnwritten(address, address + i.element_bytes) >= 0) {
    array.Fail(Name() + " reads byte " + std::to_string(address - buffer.address) +
               " of buffer " + buffer.name + ", which nothing has written");
  }
  CheckRace(i, buffer, address, false);
  int64_t value = 0;
  std::memcpy(&value, memory.data() + address, i.element_bytes);
  const int bits = 8 * i.element_bytes;
  slots[i.result] = i.is_signed ? Wrapped(value, bits) : value;
  pending_ += array.times.core_instruction;
}

void Core::Store(const Instruction& i) {
  const Place place = PlaceOf(i.buffer, i.place);
  TileMemory& memory = *array.At(place.buffer->tile).memory;
  const int64_t address = Address(i, place);
  CheckRace(i, *place.buffer, address, true);
  std::memcpy(memory.data() + address, &slots[i.left], i.element_bytes);
  memory.MarkWritten(address, address + i.element_bytes);
  pending_ += array.times.core_instruction;
}

void Core::Call(const Instruction& i) {
  const KernelInfo& declared = array.configuration.kernels[i.kernel];
  const Kernel& kernel = array.kernels->at(declared.name);
  if (!CascadeIsReady(kernel)) return;
  arguments_.clear();
  for (size_t a = 0; a < i.arguments.size(); ++a) {
    const auto& [kind, index] = i.arguments[a];
    const bool is_scalar = kind == Instruction::Argument::kScalar;
    const int type = declared.arguments[a];
    const TypeInfo* info = type < 0 ? nullptr : &array.configuration.types[type];
    arguments_.push_back({nullptr, 0, info, is_scalar ? slots[index] : 0});
  }
  const bool overwrites = kernel.overwrites && kernel.overwrites(arguments_);
  for (size_t a = 0; a < i.arguments.size(); ++a) {
    const auto& [kind, index] = i.arguments[a];
    if (kind == Instruction::Argument::kScalar) continue;
    const bool is_place = kind == Instruction::Argument::kPlace;
    const Place place = is_place ? PlaceOf(-1, index) : PlaceOf(index, -1);
    const bool both = kernel.accesses[a] == Access::kReadWrite;
    const Access access = both && overwrites ? Access::kWrite : kernel.accesses[a];
    arguments_[a] = PassBuffer(declared, place, access, arguments_[a].type);
  }
  TakeCascade(kernel);
  try {
    if (array.effect == Effect::kComputes) kernel.run(arguments_);
  } catch (const std::invalid_argument& error) {
    array.Fail(Name() + " calls " + declared.name + ": " + error.what());
  }
  const int64_t macs = kernel.macs ? kernel.macs(arguments_) : 0;
  usage.macs += macs;
  array.run.macs += macs;
  ++array.run.kernel_calls;
  ++array.progress;
  // The result is there at once, but until the call ends an access of others is a race.
  StartWork(declared.name.c_str());
  details.step = num_calls_++;
  const Cycles cycles = array.times.kernel_call + kernel.cycles(arguments_);
  array.scheduler.In(cycles, [this] { EndCall(); });
}

KernelArgument Core::PassBuffer(const KernelInfo& kernel, const Place& place,
                                Access access, const TypeInfo* type) {
  const BufferInfo& info = *place.buffer;
  TileMemory& memory = *array.At(info.tile).memory;
  const int64_t bytes = type->Bytes();
  const int64_t begin = info.address + place.offset, end = begin + bytes;
  const auto where = [&] { return Name() + " calls " + kernel.name + ", which "; };
  if (place.offset + bytes > info.bytes) {
    array.Fail(where() + "takes " + std::to_string(bytes) + " bytes from byte " +
               std::to_string(place.offset) + " of buffer " + info.name +
               " on, which has " + std::to_string(info.bytes));
  }
  if (Reads(access)) {
    const int64_t unwritten = memory.FirstUnwritten(begin, end);
    if (unwritten >= 0) {
      array.Fail(where() + "reads byte " + std::to_string(unwritten - info.address) +
                 " of buffer " + info.name + ", which nothing has written");
    }
  }
  if (access != Access::kNone) {
    TileMemory::Accesses::iterator handle;
    const bool writes = Writes(access);
    if (const auto* other = memory.Begin({begin, end, writes, this, {}}, &handle)) {
      array.Fail(where() + (writes ? "writes" : "reads") + " buffer " + info.name +
                 " while " + other->by->Name() +
                 (other->writes ? " writes" : " reads") + " it");
    }
    accesses_.emplace_back(&memory, handle);
    if (writes) memory.MarkWritten(begin, end);
  }
  return {memory.data() + begin, bytes, type, 0};
}

void Core::EndCall() {
  for (const auto& [memory, access] : accesses_) memory->End(access);
  accesses_.clear();
  GiveCascade();
  ++next;
  Continue();
}

}  // namespace jax_npu::sim
