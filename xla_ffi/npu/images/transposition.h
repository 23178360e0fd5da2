// Transposition of small matrices, in vectors.

#ifndef JAX_NPU_XLA_FFI_NPU_IMAGES_TRANSPOSITION_H_
#define JAX_NPU_XLA_FFI_NPU_IMAGES_TRANSPOSITION_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace jax_npu {

template <typename T>
struct VectorOf {
  static constexpr int kNum = 16 / sizeof(T);
  using Index = std::conditional_t<sizeof(T) == 2, int16_t, int32_t>;
  typedef T Vector __attribute__((vector_size(16)));
  typedef Index Mask __attribute__((vector_size(16)));
};

// Transposes a square as large as a vector is long, in log2(kNum) passes. Each pass
// interleaves the rows of the upper half with those of the lower half, element by
// element, as two packs of cards are riffled.
template <typename T>
void TransposeSquare(const T* from, int64_t from_stride, T* to, int64_t to_stride) {
  using Vector = typename VectorOf<T>::Vector;
  constexpr int kNum = VectorOf<T>::kNum;
  typename VectorOf<T>::Mask low, high;
  for (int i = 0; i < kNum; ++i) {
    low[i] = i / 2 + i % 2 * kNum;
    high[i] = low[i] + kNum / 2;
  }
  Vector rows[kNum], dealt[kNum];
  for (int i = 0; i < kNum; ++i) {
    std::memcpy(&rows[i], from + i * from_stride, sizeof(Vector));
  }
  for (int pass = 1; pass < kNum; pass *= 2) {
    for (int i = 0; i < kNum / 2; ++i) {
      dealt[2 * i] = __builtin_shuffle(rows[i], rows[i + kNum / 2], low);
      dealt[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + kNum / 2], high);
    }
    std::copy(dealt, dealt + kNum, rows);
  }
  for (int i = 0; i < kNum; ++i) {
    std::memcpy(to + i * to_stride, &rows[i], sizeof(Vector));
  }
}

// to[j][i] = from[i][j]
template <typename T>
void Transpose(const T* from, int64_t from_stride, int64_t num_rows,
               int64_t num_columns, T* to, int64_t to_stride) {
  constexpr int64_t kNum = VectorOf<T>::kNum;
  const int64_t rows = num_rows / kNum * kNum, columns = num_columns / kNum * kNum;
  for (int64_t j = 0; j < columns; j += kNum) {
    for (int64_t i = 0; i < rows; i += kNum) {
      TransposeSquare(from + i * from_stride + j, from_stride, to + j * to_stride + i,
                      to_stride);
    }
  }
  // The edges that no whole square covers.
  for (int64_t j = 0; j < num_columns; ++j) {
    for (int64_t i = j < columns ? rows : 0; i < num_rows; ++i) {
      to[j * to_stride + i] = from[i * from_stride + j];
    }
  }
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_NPU_IMAGES_TRANSPOSITION_H_
