// convert_f32_bf16: rounds the f32 sums of a tile to the bf16 C that leaves the core.
//
// DIM_M and DIM_N are the tile's sizes. Without them, only the template is compiled.
#include <aie_api/aie.hpp>

// c[i] = bf16(accumulators[i]), rounded in the core's mode; `size` is a multiple of 16,
// the lanes of an accumulator.
inline void Convert(const float* __restrict accumulators, bfloat16* __restrict c,
                    unsigned size) {
  for (unsigned i = 0; i < size; i += 16) {
    aie::accum<accfloat, 16> lanes;
    lanes.from_vector(aie::load_v<16>(accumulators + i));
    aie::store_v(c + i, lanes.template to_vector<bfloat16>());
  }
}

#if defined(DIM_M) && defined(DIM_N)
static_assert(DIM_M * DIM_N % 16 == 0);

extern "C" void convert_f32_bf16(const float* accumulators, bfloat16* c) {
  // The mode after power-up is floor, which biases every sum downwards.
  ::aie::set_rounding(aie::rounding_mode::conv_even);
  Convert(accumulators, c, DIM_M * DIM_N);
}
#endif
