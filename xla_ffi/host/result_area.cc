#include "xla_ffi/host/result_area.h"

#include <algorithm>
#include <cmath>

#include "xla_ffi/base/counters.h"
#include "xla_ffi/base/dtype.h"

namespace jax_npu {
namespace {
#include "xla_ffi/base/bf16.inc"

// A result's offsets grow with the index, so they are neighbours if the last is
// size - 1 from the first.
bool LieTogether(const int64_t* offsets, int64_t size) {
  return offsets[size - 1] - offsets[0] == size - 1;
}

float* F32(const Target& target) { return static_cast<float*>(target.out.data); }

void StoreF32(const Target& target, const Area& area, const float* values, int64_t ldc,
              bool accumulate) {
  const int64_t* columns = target.columns + area.column;
  const bool together = !accumulate && LieTogether(columns, area.num_columns);
  for (int64_t i = 0; i < area.num_rows; ++i, values += ldc) {
    float* row = F32(target) + target.rows[area.row + i];
    if (together) {
      std::copy_n(values, area.num_columns, row + columns[0]);
      continue;
    }
    for (int64_t j = 0; j < area.num_columns; ++j) {
      float& to = row[columns[j]];
      to = accumulate ? to + values[j] : values[j];
    }
  }
  const int64_t num_moves = accumulate ? 3 : 2;  // reads and writes of an element
  Count(TheCounters().copied_bytes,
        area.num_rows * area.num_columns * num_moves * NumBytes(DType::kF32));
}

void StoreBf16(const Target& target, const Area& area, const float* values, int64_t ldc,
               const HostKernels& kernels) {
  const int64_t* columns = target.columns + area.column;
  const bool together = LieTogether(columns, area.num_columns);
  for (int64_t i = 0; i < area.num_rows; ++i, values += ldc) {
    uint16_t* row = static_cast<uint16_t*>(target.out.data) + target.rows[area.row + i];
    if (together) {
      kernels.round(DType::kF32, {0, false}, values, area.num_columns,
                    row + columns[0]);
      continue;
    }
    for (int64_t j = 0; j < area.num_columns; ++j) {
      row[columns[j]] = RoundToBf16(Bits(values[j])) >> 16;
    }
  }
  Count(TheCounters().converted_bytes,
        area.num_rows * area.num_columns *
            (NumBytes(DType::kF32) + NumBytes(DType::kBF16)));
}

}  // namespace

float* InPlace(const Target& target, const Area& area, int64_t* ldc) {
  if (target.out.dtype != DType::kF32) return nullptr;
  const int64_t *rows = target.rows + area.row, *columns = target.columns + area.column;
  if (!LieTogether(columns, area.num_columns)) return nullptr;
  // Every row must be as far from the one before.
  *ldc = area.num_rows > 1 ? rows[1] - rows[0] : area.num_columns;
  for (int64_t i = 1; i < area.num_rows; ++i) {
    if (rows[i] - rows[i - 1] != *ldc) return nullptr;
  }
  return F32(target) + rows[0] + columns[0];
}

void Store(const Target& target, const Area& area, const float* values, int64_t ldc,
           bool accumulate, const HostKernels& kernels) {
  if (area.num_rows == 0 || area.num_columns == 0) return;
  if (target.out.dtype == DType::kF32) {
    StoreF32(target, area, values, ldc, accumulate);
  } else {
    StoreBf16(target, area, values, ldc, kernels);
  }
}

void ClearNonFinite(const Target& target, const Area& area) {
  for (int64_t i = 0; i < area.num_rows; ++i) {
    float* row = F32(target) + target.rows[area.row + i];
    for (int64_t j = 0; j < area.num_columns; ++j) {
      float& value = row[target.columns[area.column + j]];
      if (!std::isfinite(value)) value = 0.0f;
    }
  }
}

}  // namespace jax_npu
