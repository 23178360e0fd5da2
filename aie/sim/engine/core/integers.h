// Integer arithmetic of core programs: `arith` on numbers of 1 to 64 bits.
//
// A slot holds 64 bits: the number sign-extended, but a single bit as 0 or 1. Signed
// arithmetic reads that bit as 0 or -1, as MLIR does.

#ifndef JAX_NPU_AIE_SIM_ENGINE_CORE_INTEGERS_H_
#define JAX_NPU_AIE_SIM_ENGINE_CORE_INTEGERS_H_

#include <cstdint>

#include "aie/sim/program/configuration.h"

namespace jax_npu::sim {

inline uint64_t ZeroExtended(int64_t value, int bits) {
  return bits == 64 ? value : value & ((uint64_t{1} << bits) - 1);
}

// The value as a slot holds a number of that many bits: sign-extended, but a single bit
// is 0 or 1.
inline int64_t Wrapped(int64_t value, int bits) {
  if (bits == 1) return value & 1;
  const int unused = 64 - bits;
  return static_cast<int64_t>(static_cast<uint64_t>(value) << unused) >> unused;
}

// A slot's number as signed arithmetic reads it, where a single set bit is -1.
inline int64_t Signed(int64_t value, int bits) { return bits == 1 ? -value : value; }

inline int64_t Apply(Binary operation, int bits, int64_t left, int64_t right) {
  const int64_t a = Signed(left, bits), b = Signed(right, bits);
  const uint64_t x = a, y = b;  // may wrap
  const uint64_t ux = ZeroExtended(a, bits), uy = ZeroExtended(b, bits);
  // The smallest number over -1 would trap on the host.
  const bool overflows = b == -1;
  switch (operation) {
    case Binary::kAdd:
      return x + y;
    case Binary::kSub:
      return x - y;
    case Binary::kMul:
      return x * y;
    case Binary::kAnd:
      return a & b;
    case Binary::kOr:
      return a | b;
    case Binary::kXor:
      return a ^ b;
    case Binary::kShl:
      return uy < 64 ? x << uy : 0;
    case Binary::kShrs:
      return a >> (uy < 64 ? uy : 63);
    case Binary::kShru:
      return uy < 64 ? ux >> uy : 0;
    case Binary::kDivs:
      return overflows ? 0 - x : a / b;
    case Binary::kDivu:
      return ux / uy;
    case Binary::kRems:
      return overflows ? 0 : a % b;
    case Binary::kRemu:
      return ux % uy;
    case Binary::kMins:
      return a < b ? a : b;
    case Binary::kMaxs:
      return a > b ? a : b;
    case Binary::kMinu:
      return ux < uy ? a : b;
    case Binary::kMaxu:
      return ux > uy ? a : b;
    case Binary::kFloorDivs:
      return overflows ? 0 - x : a / b - (a % b != 0 && (a < 0) != (b < 0));
    case Binary::kCeilDivs:
      return overflows ? 0 - x : a / b + (a % b != 0 && (a < 0) == (b < 0));
    case Binary::kCeilDivu:
      return ux / uy + (ux % uy != 0);
  }
  return 0;
}

inline bool IsDivision(Binary operation) {
  return operation == Binary::kDivs || operation == Binary::kDivu ||
         operation == Binary::kRems || operation == Binary::kRemu ||
         operation == Binary::kFloorDivs || operation == Binary::kCeilDivs ||
         operation == Binary::kCeilDivu;
}

// The predicates of arith.cmpi, in its numbering.
enum Predicate { kEq, kNe, kSlt, kSle, kSgt, kSge, kUlt, kUle, kUgt, kUge };

inline bool Holds(int predicate, int bits, int64_t left, int64_t right) {
  const int64_t a = Signed(left, bits), b = Signed(right, bits);
  const uint64_t ua = ZeroExtended(a, bits), ub = ZeroExtended(b, bits);
  switch (predicate) {
    case kEq:
      return a == b;
    case kNe:
      return a != b;
    case kSlt:
      return a < b;
    case kSle:
      return a <= b;
    case kSgt:
      return a > b;
    case kSge:
      return a >= b;
    case kUlt:
      return ua < ub;
    case kUle:
      return ua <= ub;
    case kUgt:
      return ua > ub;
    default:
      return ua >= ub;
  }
}

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_CORE_INTEGERS_H_
