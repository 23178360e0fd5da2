// AxesOf of base/labels.h, for ctypes.

#include <algorithm>
#include <cstdint>
#include <exception>
#include <string>

#include "xla_ffi/base/labels.h"

#pragma GCC visibility push(default)
extern "C" {
// Writes the number of loops of each role to `counts` (batch, m, k, n), and their
// numbers, four each, to `numbers`. The terms lie one after the other in `labels` and
// in `sizes`. Returns "" or the error; valid until the next call.
const char* axes_of(const int64_t* labels, const int64_t* num_labels,
                    const int64_t* sizes, const int64_t* num_sizes, int64_t* counts,
                    int64_t* numbers) {
  static std::string error;
  error.clear();
  jax_npu::Term terms[3];
  for (int i = 0; i < 3; ++i) {
    terms[i].labels = {labels, static_cast<size_t>(num_labels[i])};
    labels += num_labels[i];
    if (num_sizes[i] < 0) continue;  // unknown
    terms[i].sizes = {sizes, static_cast<size_t>(num_sizes[i])};
    sizes += num_sizes[i];
  }
  try {
    const jax_npu::Axes axes = jax_npu::AxesOf(terms[0], terms[1], terms[2]);
    for (const auto* loops : {&axes.batch, &axes.m, &axes.k, &axes.n}) {
      *counts++ = static_cast<int64_t>(loops->size());
      for (const auto& [size, lhs, rhs, out] : *loops) {
        const int64_t axis[] = {size, lhs, rhs, out};
        numbers = std::copy_n(axis, 4, numbers);
      }
    }
  } catch (const std::exception& raised) {
    error = raised.what();
  }
  return error.c_str();
}
}
#pragma GCC visibility pop
