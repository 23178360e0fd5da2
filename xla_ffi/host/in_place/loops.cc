#include "xla_ffi/host/in_place/loops.h"

#include "xla_ffi/base/counters.h"

namespace jax_npu {
namespace {
#include "xla_ffi/base/bf16.inc"
}  // namespace

Axis AxisList::TakeInner() {
  if (size_ == 0) return {1, 0, 0, 0};
  Axis* best = axes_;
  for (Axis& axis : *this) {
    const bool is_run = axis.rhs == 1, best_is_run = best->rhs == 1;
    if (is_run != best_is_run ? is_run : axis.size > best->size) best = &axis;
  }
  const Axis taken = *best;
  std::move(best + 1, end(), best);
  --size_;
  return taken;
}

Axis AxisList::At(int64_t index) const {
  Axis at = {index, 0, 0, 0};
  for (int i = size_ - 1; i >= 0; --i) {
    const int64_t digit = i > 0 ? index % axes_[i].size : index;
    if (i > 0) index /= axes_[i].size;
    at.lhs += digit * axes_[i].lhs;
    at.rhs += digit * axes_[i].rhs;
    at.out += digit * axes_[i].out;
  }
  return at;
}

void AxisList::Expand(int64_t Axis::* stride, int64_t* offsets) const {
  int64_t size = 1;
  offsets[0] = 0;
  for (const Axis& axis : *this) {
    // From the end, because each offset makes room for axis.size of them.
    for (int64_t i = size - 1; i >= 0; --i) {
      const int64_t base = offsets[i];
      for (int64_t j = 0; j < axis.size; ++j) {
        offsets[i * axis.size + j] = base + j * (axis.*stride);
      }
    }
    size *= axis.size;
  }
}

void InPlace::Swap() {
  std::swap(lhs, rhs);
  std::swap(m, n);
  for (AxisList* group : {&batch, &m, &k, &n}) {
    for (Axis& axis : *group) std::swap(axis.lhs, axis.rhs);
  }
}

void InPlace::StoreRun(const float* values, int64_t size, int64_t element,
                       int64_t stride) const {
  if (out.dtype == DType::kF32) {
    float* to = static_cast<float*>(out.data) + element;
    if (stride == 1) {
      std::copy_n(values, size, to);
    } else {
      for (int64_t i = 0; i < size; ++i) to[i * stride] = values[i];
    }
    return Count(TheCounters().copied_bytes, size * 2 * NumBytes(DType::kF32));
  }
  uint16_t* to = static_cast<uint16_t*>(out.data) + element;
  if (stride == 1) {
    kernels.round(DType::kF32, {0, false}, values, size, to);
  } else {
    for (int64_t i = 0; i < size; ++i) {
      to[i * stride] = RoundToBf16(Bits(values[i])) >> 16;
    }
  }
  Count(TheCounters().converted_bytes,
        size * (NumBytes(DType::kF32) + NumBytes(DType::kBF16)));
}

void InPlace::LoadRun(Operand operand, int64_t element, int64_t stride, int64_t num_k,
                      float* to) const {
  if (stride == 1) {
    return kernels.widen(operand.dtype, exact, At(operand, element), num_k, to);
  }
  const auto load = [&](const auto* from) {
    for (int64_t i = 0; i < num_k; ++i) {
      const uint32_t bits = LoadBits(from + element + i * stride);
      const uint32_t rounded = RoundToBf16(bits);
      to[i] = FromBits(exact && IsFinite(rounded) ? bits : rounded);
    }
  };
  if (operand.dtype == DType::kF32) {
    load(static_cast<const float*>(operand.data));
  } else {
    load(static_cast<const uint16_t*>(operand.data));
  }
}

}  // namespace jax_npu
