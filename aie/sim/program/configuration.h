// A loaded design as the hardware sees it: memories, locks, BDs, channel programs,
// routes and core programs, all with final addresses and ids.
//
// It is the virtual counterpart of the configuration data inside an xclbin. Its text
// has one item on each line, as words separated by blanks;
// aie/xdna/load/configuration.py writes it. Indices count the lines of their kind from
// 0. Addresses are bytes within a tile; lengths, sizes and strides of BDs are words of
// 4 bytes. Names have no blanks.
//
//   jax-npu-configuration 1
//   device NAME
//   param NAME NUMBER                 a limit, an address or a time, see
//                                     aie/xdna/load/parameters.py
//   buffer COL ROW ADDRESS BYTES NAME
//   data BUFFER HEX                   what it holds once loaded, two digits a byte
//   lock COL ROW ID INIT NAME
//   bd COL ROW ID MEM_COL MEM_ROW ADDRESS LENGTH NEXT_ID ACQUIRE_LOCK VALUE
//      RELEASE_LOCK VALUE NUM_DIMS {SIZE STRIDE} NUM_PADS {BEFORE AFTER}
//      [PACKET_ID PACKET_TYPE]
//                                     dimensions outermost first; no dimension: linear;
//                                     pads outermost first, in words where innermost;
//                                     locks as indices of `lock` lines; -1: none; to
//                                     acquire by equality, VALUE is -1 - value
//   start COL ROW DIRECTION CHANNEL BD_ID REPEATS
//                                     DIRECTION 0 = S2MM, 1 = MM2S; REPEATS from 1; a
//                                     channel's tasks in the order of their lines
//   route COL ROW PORT TO_COL TO_ROW TO_PORT HOPS
//                                     one line for each receiver; PORT is the number of
//                                     an MM2S or S2MM channel, or "control" (packets
//                                     only), "core" (circuits only), or, sending only,
//                                     "traceN"
//   packet_route COL ROW PORT TO_COL TO_ROW TO_PORT HOPS PACKET_ID KEEPS_HEADER
//                                     of the packets with that ID
//   cascade COL ROW TO_COL TO_ROW     between cores
//   type ELEMENT RANK {SIZE}          of a memref, ELEMENT such as bf16, f32, i32
//   kernel NAME NUM_ARGUMENTS {TYPE}  declared function; TYPE is an index of `type`,
//                                     -1 for a scalar argument
//   core COL ROW NUM_SLOTS NUM_INSTRUCTIONS
//                                     followed by that many lines:
//   const SLOT VALUE
//   binary OPERATION BITS SLOT LEFT RIGHT
//                                     OPERATION add sub mul and or xor shl shrs shru
//                                     divs divu rems remu mins maxs minu maxu
//                                     floordivs ceildivs ceildivu; the result wraps to
//                                     BITS and is sign-extended (1 bit: zero-extended);
//                                     index has 64
//   compare PREDICATE BITS SLOT LEFT RIGHT
//                                     PREDICATE as arith.cmpi numbers them, 0-9
//   select SLOT CONDITION LEFT RIGHT
//   cast SIGNED FROM_BITS TO_BITS SLOT FROM
//   move SLOT FROM
//   load SLOT BUFFER ELEMENT_BYTES SIGNED NUM_INDICES {INDEX_SLOT STRIDE_BYTES}
//   store FROM BUFFER ELEMENT_BYTES NUM_INDICES {INDEX_SLOT STRIDE_BYTES}
//   load_at SLOT PLACE_SLOT ...       as load and store, where a slot holds the place:
//   a store_at FROM PLACE_SLOT ...      buffer's index times 2^32, and a byte in it
//   float OPERATION FORMAT SLOT LEFT RIGHT
//                                     OPERATION add sub mul div min max minnum maxnum,
//                                     or of LEFT alone neg abs ceil floor roundeven
//                                     sqrt trunc; FORMAT bf16 f32 f64, whose bits lie
//                                     in slots zero-extended; rounds to nearest even
//   float_compare PREDICATE FORMAT SLOT LEFT RIGHT
//                                     PREDICATE as arith.cmpf numbers them, 0-15
//   float_cast FORMAT TO_FORMAT SLOT FROM
//   float_from SIGNED BITS FORMAT SLOT FROM
//   float_to SIGNED BITS FORMAT SLOT FROM
//   put FROM                          a word to the core's stream
//   get SLOT                          a word of the core's stream, sign-extended
//   put_cascade ELEMENT_BYTES COUNT {SLOT}
//                                     512 bits to the next core
//   get_cascade SIGNED ELEMENT_BYTES COUNT {SLOT}
//   acquire LOCK VALUE                as in `bd`
//   release LOCK VALUE
//   call KERNEL NUM_ARGUMENTS {b BUFFER | p PLACE_SLOT | s SLOT}
//   jump INSTRUCTION                  positions within this core, from 0
//   branch CONDITION INSTRUCTION INSTRUCTION
//                                     to the first if the condition is not 0
//   halt
//
// Slots hold integers of 64 bits.

#ifndef JAX_NPU_AIE_SIM_PROGRAM_CONFIGURATION_H_
#define JAX_NPU_AIE_SIM_PROGRAM_CONFIGURATION_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace jax_npu::sim {

struct TileAt {
  int column = 0, row = 0;
  bool operator==(const TileAt& other) const {
    return column == other.column && row == other.row;
  }
  std::string Text() const;  // "(column, row)"
};

enum Direction { kS2mm = 0, kMm2s = 1 };

struct BufferInfo {
  TileAt tile;
  int64_t address, bytes;
  std::string name;
  std::vector<uint8_t> data;  // empty, or all of its bytes
};

struct LockInfo {
  TileAt tile;
  int id, init;
  std::string name;
};

// One dimension of an access pattern, in words. An MM2S channel sends `before` zeros
// before its elements and `after` zeros behind them.
struct Dimension {
  int64_t size, stride, before = 0, after = 0;
};

struct BdInfo {
  TileAt tile;
  int id;
  TileAt memory;
  int64_t address, length;
  int next;
  int acquire_lock, acquire_value, release_lock, release_value;
  std::vector<Dimension> dimensions;
  int packet_id = -1, packet_type = 0;  // of what it sends; -1: no packets
};

struct StartInfo {
  TileAt tile;
  Direction direction;
  int channel, bd, repeats;
};

enum class PortKind { kDma, kControl, kTrace, kCore };

struct PortInfo {
  PortKind kind = PortKind::kDma;
  int number = 0;  // the channel's or the trace unit's
};

struct RouteInfo {
  TileAt from;
  PortInfo from_port;
  TileAt to;
  PortInfo to_port;
  int hops;
  int packet_id = -1;  // -1: a circuit
  bool keeps_header = false;
};

struct CascadeInfo {
  TileAt from, to;
};

struct TypeInfo {
  std::string element;
  std::vector<int64_t> shape;

  int64_t Bytes() const;
};

struct KernelInfo {
  std::string name;
  std::vector<int> arguments;  // indices of types; -1: a scalar
};

enum class Op {
  kConst,
  kBinary,
  kCompare,
  kSelect,
  kCast,
  kMove,
  kFloat,
  kFloatCompare,
  kFloatCast,
  kFloatFrom,
  kFloatTo,
  kLoad,
  kStore,
  kPut,
  kGet,
  kPutCascade,
  kGetCascade,
  kAcquire,
  kRelease,
  kCall,
  kJump,
  kBranch,
  kHalt,
};

enum class Binary {
  kAdd,
  kSub,
  kMul,
  kAnd,
  kOr,
  kXor,
  kShl,
  kShrs,
  kShru,
  kDivs,
  kDivu,
  kRems,
  kRemu,
  kMins,
  kMaxs,
  kMinu,
  kMaxu,
  kFloorDivs,
  kCeilDivs,
  kCeilDivu,
};

enum class FloatOperation {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMin,
  kMax,
  kMinNum,
  kMaxNum,
  kNeg,
  kAbs,
  kCeil,
  kFloor,
  kRoundEven,
  kSqrt,
  kTrunc,
};

enum class FloatFormat { kBf16, kF32, kF64 };

// A place in memory: the index of a buffer, and below that many bits a byte in it.
constexpr int kPlaceOffsetBits = 32;

// The operands of every operation; each uses those that its line above names.
struct Instruction {
  Op op;
  Binary binary = Binary::kAdd;
  int bits = 64, from_bits = 64, predicate = 0, element_bytes = 0;
  bool is_signed = true;
  FloatOperation float_operation = FloatOperation::kAdd;
  FloatFormat format = FloatFormat::kF32, to_format = FloatFormat::kF32;
  int result = -1, left = -1, right = -1, condition = -1;
  int64_t value = 0;
  int lock = -1, kernel = -1;
  int buffer = -1, place = -1;  // place: a slot, where the buffer is known at run time
  int target = -1, other_target = -1;  // instructions
  struct Argument {
    enum Kind { kScalar, kBuffer, kPlace };
    Kind kind;
    int index;  // the buffer's or the slot's
  };
  std::vector<Argument> arguments;
  struct Index {
    int slot;
    int64_t stride_bytes;
  };
  std::vector<Index> indices;
  std::vector<int> lanes;  // slots of what a cascade moves at once
};

constexpr int kCascadeBytes = 64;  // at once (AMD AM020)

struct CoreInfo {
  TileAt tile;
  int num_slots;
  std::vector<Instruction> program;
};

struct Configuration {
  std::string device;
  std::map<std::string, double> parameters;
  std::vector<BufferInfo> buffers;
  std::vector<LockInfo> locks;
  std::vector<BdInfo> bds;
  std::vector<StartInfo> starts;
  std::vector<RouteInfo> routes;
  std::vector<CascadeInfo> cascades;
  std::vector<TypeInfo> types;
  std::vector<KernelInfo> kernels;
  std::vector<CoreInfo> cores;

  // Throws std::invalid_argument, naming the parameter, if it is missing.
  double Parameter(const std::string& name) const;
};

// Throws std::invalid_argument that names the wrong line.
Configuration ParseConfiguration(const std::string& text);

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_PROGRAM_CONFIGURATION_H_
