// zero_f32, zero_bf16: clear a tile of C.
//
// DIM_M and DIM_N are the tile's sizes. Without them, only the template is compiled.
#include <aie_api/aie.hpp>

// c[i] = 0; `size` is a multiple of 16, the lanes of a vector.
template <typename T>
inline void Zero(T* __restrict c, unsigned size) {
  const aie::vector<T, 16> zeros = aie::zeros<T, 16>();
  for (unsigned i = 0; i < size; i += 16) aie::store_v(c + i, zeros);
}

#if defined(DIM_M) && defined(DIM_N)
static_assert(DIM_M * DIM_N % 16 == 0);

extern "C" {

void zero_f32(float* c) { Zero(c, DIM_M * DIM_N); }
void zero_bf16(bfloat16* c) { Zero(c, DIM_M * DIM_N); }

}  // extern "C"
#endif
